"""What 8-bit integers change in results, against float32 torch on the same scans."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from benchmarks.methods import DOSE, enhanced
from benchmarks.scans import BenchmarkScan
from benchmarks.store import Store
from benchmarks.tuning import psnr

from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.parity import Parity
from med_stylesr.inference.quantised import FILE
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest

STYLE = "smooth"
"""The one that takes most noise away, where differences are largest."""


def compare(scans: list[BenchmarkScan], store: Store) -> dict[str, dict[str, float]]:
    """Scan → max_hu, p999_hu, mean_hu, bias_hu of the difference and the change of psnr_db; empty without a model."""
    eight, exact = (
        Enhancer(device="cpu", precision="int8"),
        Enhancer(device="cpu", runtime="torch", precision="float32"),
    )
    model = (exact.bundle(2).path / FILE).with_suffix(".bin")
    if not model.is_file():
        return {}
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    options = EnhanceOptions(style=STYLE, request=StrengthRequest(dose_fraction=DOSE))

    def measured(scan: BenchmarkScan) -> dict[str, Any]:
        low = scan.low_dose(DOSE)
        results = [enhanced(one, low, scan.spacing_mm, options)[list(scan.wanted)] for one in (eight, exact)]
        parity = Parity.between(*map(torch.from_numpy, results))
        fidelity = [[psnr(a, b) for a, b in zip(result, scan.target, strict=True)] for result in results]
        return {**asdict(parity), "psnr_db": float(np.mean(fidelity[0]) - np.mean(fidelity[1]))}

    weights = exact.bundle(2).weights_sha256
    return {
        scan.name: store.record("precision", f"{scan.key} {DOSE} {weights} {digest}", lambda s=scan: measured(s))
        for scan in scans
    }
