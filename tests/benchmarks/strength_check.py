"""Does `--dose F` leave √F of the noise? Measured so that anatomy cancels.

A scan is enhanced twice, with the inserted noise n and with −n, which is as likely. Half the difference of the two
results is what became of n alone, for anatomy and the scan's own noise stand in both.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from benchmarks.methods import enhanced
from benchmarks.scans import BenchmarkScan
from benchmarks.store import Store

from med_stylesr.inference.enhancer import DEFAULT_STYLE, EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.metrics.regions import flat_rois
from med_stylesr.metrics.texture import noise_power_spectrum

DOSES: Final = (0.5, 0.25, 0.1)
STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
REGION_MM: Final = 12.0
REGIONS: Final = 32


def noise_left(scan: BenchmarkScan, dose: float, options: EnhanceOptions, enhancer: Enhancer) -> float | None:
    """Amplitude of inserted noise after enhancement over that before, in flat soft tissue; None without any."""
    rois = flat_rois(scan.target, scan.spacing_mm, size_mm=REGION_MM, count=REGIONS)
    if not rois:
        return None
    wanted = list(scan.wanted)
    both = [scan.low_dose(dose, sign) for sign in (1, -1)]
    results = [enhanced(enhancer, low, scan.spacing_mm, options)[wanted] for low in both]
    after, before = (results[0] - results[1]) / 2, (both[0] - both[1])[wanted] / 2
    levels = [noise_power_spectrum([r.cut(x) for r in rois], scan.spacing_mm[1:]).noise_sd_hu for x in (after, before)]
    return levels[0] / levels[1]


def check(scan: BenchmarkScan, enhancer: Enhancer, store: Store) -> dict[str, Any]:
    """Noise left with `--dose F` at several doses, and over strength at a quarter: {"dose": …, "strength": …}."""
    key = f"{scan.key} {enhancer.bundle(2).weights_sha256}"
    told = {
        f"{dose:g}": store.record(
            "strength",
            f"{key} dose {dose:g}",
            lambda d=dose: noise_left(scan, d, EnhanceOptions(request=StrengthRequest(dose_fraction=d)), enhancer),
        )
        for dose in DOSES
    }
    curve = {
        f"{s:g}": store.record(
            "strength",
            f"{key} strength {s:g}",
            lambda s=s: noise_left(scan, 0.25, EnhanceOptions(request=StrengthRequest(strength=s)), enhancer),
        )
        for s in STRENGTHS
    }
    return {"dose": told, "strength": curve, "style": DEFAULT_STYLE}


def root_error(told: dict[str, float | None]) -> float:
    """Largest relative distance of the noise left from √F."""
    errors = [abs(left / np.sqrt(float(dose)) - 1) for dose, left in told.items() if left is not None]
    return float(max(errors)) if errors else float("nan")
