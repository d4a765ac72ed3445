"""The benchmark in two minutes: the sample scan of the repository, three filters, the shipped weights; prints a table.

    make benchmark-quick

Filters are tuned on the first slices of the sample and everything is measured on later ones. One scan proves little:
the whole benchmark is in docs/validation/benchmark.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from benchmarks import pooling
from benchmarks.measure import measure
from benchmarks.methods import DOSE, Method, classical, ours
from benchmarks.peers.classical import FILTERS
from benchmarks.scans import BenchmarkScan, centre
from benchmarks.tables import number, table
from benchmarks.tuning import score

from med_stylesr.errors import MedStyleError, UsageError
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.service.demo import sample_root

QUICK: Final = ("gaussian", "tv", "nlm")
TUNED_ON: Final = slice(0, 3)
MEASURED_ON: Final = slice(8, 13)
EDGE: Final = 160
"""Piece of the slices that filters are tuned on."""


def sample() -> tuple[BenchmarkScan, BenchmarkScan]:
    """The sample's slices for tuning and for measuring.

    Raises:
        UsageError: if the installation has no sample, or it is damaged.
    """
    volumes = []
    for name in ("normal_dose", "quarter_dose"):
        with find_inputs(sample_root() / name) as inputs:
            if len(inputs.series) != 1:
                raise UsageError(str(sample_root()), "does not hold one series a folder", "restore tests/data")
            volumes.append(read_volume(inputs.series[0]))
    normal, low = (volume.hu.astype(np.float32).clip(HU_MIN, HU_MAX) for volume in volumes)
    spacing = volumes[0].spacing_mm
    few, many = (
        BenchmarkScan("sample", normal[s], (low - normal)[s], DOSE, spacing, wanted)
        for s, wanted in ((TUNED_ON, (0, 1, 2)), (MEASURED_ON, (1, 2, 3)))
    )
    return few, many


def rows(enhancer: Enhancer, tuning: BenchmarkScan) -> list[Method]:
    """What is compared."""
    small = centre(tuning, EDGE)
    found = [Method("input", "input", "input", "", lambda low, scan: low[list(scan.wanted)])]
    for name in QUICK:
        family = FILTERS[name]
        best = max(family.parameters, key=lambda p, f=family: score(f, p, [small], DOSE))
        found.append(classical(name, name, best))
    told = StrengthRequest(dose_fraction=DOSE)
    found.append(ours(enhancer, "smooth", f"smooth --dose {DOSE}", EnhanceOptions(style="smooth", request=told)))
    found.append(ours(enhancer, "normal-dose", f"normal-dose --dose {DOSE}", EnhanceOptions(request=told)))
    return found


def report(methods: list[Method], scan: BenchmarkScan) -> str:
    """The table."""
    low, lines = scan.low_dose(DOSE), []
    for row in methods:
        figures = measure(low[list(scan.wanted)], row.run(low, scan), scan.target, scan.spacing_mm)
        records = {scan.name: figures}
        worst = max(pooling.tissue_shift(records).values(), key=lambda pair: abs(pair[1]), default=(0.0, 0.0))[1]
        fidelity = figures["fidelity"]["redcnn"]
        middle = pooling.band_ratios(records).get("middle", (float("nan"),))[0]
        lines.append(
            [
                row.label,
                number(fidelity["psnr_db"]),
                number(fidelity["ssim"], 3),
                number(middle),
                number(worst, 2, sign=True),
                number(pooling.structure(records), 3),
            ]
        )
    return table(["Method", "PSNR, dB", "SSIM", "noise power, middle band", "HU shift", "structure"], lines)


def main() -> int:
    """Print the table."""
    torch.set_num_threads(1)
    try:
        tuning, scan = sample()
        enhancer = Enhancer(device="cpu")
        print("Sample scan, simulated quarter dose, against normal dose; -160 to 240 HU")
        print(report(rows(enhancer, tuning), scan))
    except MedStyleError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
