"""Several methods side by side: means with intervals over scans, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.statistics import bootstrap_mean, holm, paired_wilcoxon
from med_stylesr.report.against_reference import BLOCK, Case

HEADLINES: Final[dict[str, tuple[str, int]]] = {
    "redcnn.psnr_db": ("PSNR, −160…240 HU (dB)", 1),
    "redcnn.ssim": ("SSIM, −160…240 HU", 1),
    "hu1000.psnr_db": ("PSNR, ±1000 HU (dB)", 1),
    "full.body_rmse_hu": ("RMSE in the body (HU)", -1),
    "redcnn.vif": ("VIF, −160…240 HU", 1),
    "redcnn.gmsd": ("GMSD, −160…240 HU", -1),
}
"""Figure → (words, +1 if more is better, −1 if less). These are tested; everything else is only listed."""
MIN_SCANS: Final = 6
"""Paired scans from which a signed-rank test can reach 5 %; below, slices are compared and the result marked."""


def compare(cases: Mapping[str, Mapping[str, Case]]) -> dict[str, Any]:
    """Summary of all methods.

    Args:
        cases: method → scan → measured case.

    Returns:
        unit ("scan", or "slice" when there are too few scans), summary (method → figure → mean, low, high) and tests
        (figure, methods, difference, p, Holm-adjusted p over all tests).
    """
    common = set.intersection(*(set(mine) for mine in cases.values())) if cases else set()
    unit = "scan" if len(common) >= MIN_SCANS else "slice"
    summary: dict[str, dict[str, Any]] = {}
    for method, mine in cases.items():
        values = {figure: _values(mine, sorted(mine), figure, unit) for figure in HEADLINES}
        block = 1 if unit == "scan" else BLOCK
        summary[method] = {figure: bootstrap_mean(v, block=block)._asdict() for figure, v in values.items()}
    tests: dict[str, dict[str, Any]] = {}
    for figure in HEADLINES:
        for first, second in combinations(cases, 2):
            a, b = (_values(cases[m], sorted(common), figure, unit) for m in (first, second))
            if a.shape != b.shape or a.size == 0:
                continue
            tests[f"{figure}: {first} − {second}"] = {
                "figure": figure,
                "first": first,
                "second": second,
                "difference": float(np.mean(a - b)),
                "p": paired_wilcoxon(a, b),
            }
    adjusted = holm({name: test["p"] for name, test in tests.items()})
    rows = [{**test, "p_holm": adjusted[name]} for name, test in tests.items()]
    return {"unit": unit, "scans": len(common), "summary": summary, "tests": rows}


def _values(mine: Mapping[str, Case], scans: list[str], figure: str, unit: str) -> NDArray[np.float64]:
    per_scan = [mine[scan].per_slice[figure] for scan in scans]
    if unit == "scan":
        return np.array([values[np.isfinite(values)].mean() for values in per_scan])
    return np.concatenate(per_scan) if per_scan else np.zeros(0)
