"""The best parameter of every classical filter, found on the tuning scans and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from benchmarks.peers.classical import FILTERS, Filter, filtered
from benchmarks.scans import BenchmarkScan, centre
from benchmarks.store import Store

from med_stylesr.metrics.fidelity import CONVENTIONS, psnr_db

CONVENTION: Final = "redcnn"
EDGE: Final = 224
"""Rows and columns of the middle of a slice that filters are tuned on, to save time."""


def score(family: Filter, parameter: float, scans: Sequence[BenchmarkScan], dose: float) -> float:
    """Mean PSNR in dB over some scans."""
    each = []
    for scan in scans:
        low = scan.low_dose(dose)[list(scan.wanted)]
        results = filtered(family, parameter, low, scan.spacing_mm)
        each += [psnr(r, n) for r, n in zip(results, scan.target, strict=True)]
    return float(np.mean(each))


def psnr(result: np.ndarray, normal: np.ndarray, convention: str = CONVENTION) -> float:
    """PSNR of one slice in dB, without the cost of SSIM."""
    rule = CONVENTIONS[convention]
    return psnr_db(float(((rule.apply(result) - rule.apply(normal)) ** 2).mean()), rule.data_range)


def tune(
    tuning: Sequence[BenchmarkScan], dose: float, store: Store, families: Mapping[str, Filter] = FILTERS
) -> dict[str, float]:
    """Best parameter of every filter by mean PSNR.

    Args:
        tuning: scans that are not measured.
        dose: dose fraction.
        store: keeps the scores.
        families: filters by name.
    """
    small = [centre(scan, EDGE) for scan in tuning]
    names = " ".join(scan.key for scan in tuning)
    best = {}
    for name, family in families.items():
        scores = {
            p: store.record("tuning", f"{name} {p:g} {dose:g} {names}", lambda f=family, p=p: score(f, p, small, dose))
            for p in family.parameters
        }
        best[name] = max(scores, key=lambda p: scores[p])
    return best
