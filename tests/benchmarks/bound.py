"""What no method can exceed: the normal-dose scan that results are held against has noise of its own.

Who knew the anatomy c exactly would see the noise n + m of the low-dose scan, n that of normal dose and m what the
lower dose adds, but not which part of it is n. In the mean square the best guess of c + n keeps
var n / (var n + var m) of it and errs by var n · var m / (var n + var m), where the input errs by var m: it is
10 log₁₀(1 + var m / var n) above it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks import pooling
from benchmarks.methods import enhanced
from benchmarks.pooling import Records
from benchmarks.scans import BenchmarkScan
from benchmarks.store import Store
from benchmarks.tables import number
from benchmarks.targets import CONVENTION

from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import NOISE_FREE, StrengthRequest
from med_stylesr.metrics.noise_model import REGION_MM, REGIONS, NoiseModel
from med_stylesr.metrics.regions import flat_rois
from med_stylesr.metrics.texture import noise_power_spectrum


def possible_gain(scan: BenchmarkScan, dose: float, enhancer: Enhancer, store: Store) -> float | None:
    """Decibels above the input that exact knowledge of the anatomy would give; None without flat tissue.

    Noise of normal dose is measured by what the network takes away, which is a lower bound of it (`NoiseModel`), so
    that this is rather too much than too little.
    """
    key = f"{scan.key} {dose} {enhancer.bundle(2).weights_sha256}"
    told = store.record("bound", key, lambda: {"gain_db": _gain(scan, dose, enhancer)})
    return None if told["gain_db"] is None else float(told["gain_db"])


def _gain(scan: BenchmarkScan, dose: float, enhancer: Enhancer) -> float | None:
    wanted, options = list(scan.wanted), EnhanceOptions(style=NOISE_FREE, request=StrengthRequest(strength=1.0))
    removed = enhanced(enhancer, scan.normal, scan.spacing_mm, options)[wanted] - scan.target
    model = NoiseModel.fit(scan.target, removed, scan.spacing_mm)
    regions = flat_rois(scan.target, scan.spacing_mm, size_mm=REGION_MM, count=REGIONS)
    if model is None or not regions or model.noise_hu <= 0:
        return None
    added = scan.low_dose(dose)[wanted] - scan.target
    more = noise_power_spectrum([region.cut(added) for region in regions], scan.spacing_mm[1:]).noise_sd_hu
    return 10 * math.log10(1 + (more / model.noise_hu) ** 2)


def row(possible: Mapping[str, float | None], low_dose: Records) -> list[list[str]]:
    """The row of a table of PSNR; none where nothing is known.

    Args:
        possible: scan → `possible_gain`.
        low_dose: scan → figures of the input.
    """
    low = pooling.fidelity(low_dose, CONVENTION, "psnr_db")
    most = {scan: db + gain for scan, db in low.items() if (gain := possible.get(scan)) is not None}
    return [["*bound*", *(number(most.get(scan)) for scan in low), number(pooling.mean(most))]] if most else []
