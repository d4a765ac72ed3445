"""Learning what noise normal dose has, from few scans: a regression with the physics fixed and the rest held back.

Least squares on log σ with Gaussian priors. Offsets of kernel classes are drawn towards the noise that the simulator's
kernel of that name lets through, as far as few scans do not speak against it; κ is drawn towards the middle of what
tube current modulation leaves possible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.inference.normal_dose import (
    Acquisition,
    KernelNoise,
    NormalDoseNoise,
    log_attenuation,
    log_thickness,
)
from med_stylesr.io.kernel_names import SHARP, SOFT, STANDARD, VERY_SHARP

LEVEL: Final = (math.log(12.0), 1.0)
"""Prior of a, mean and standard deviation: 12 HU at 2.5 mm, within a factor of 2.7."""
SIMULATED: Final = {SOFT: "soft", STANDARD: "standard", SHARP: "sharp", VERY_SHARP: "lung"}
"""Kernels of `degrade.kernel` that stand for the classes."""
OFFSET_SPREAD: Final = 0.4
"""Prior standard deviation of a_c: kernels of one class differ by a factor of 1.5 in noise."""
SIZE_SHARE: Final = (0.5, 0.5)
"""Prior of κ."""
SCATTER: Final = (0.3, 4.0)
"""Prior of the scatter of log σ from scan to scan, and how many scans it counts for."""
_ROUNDS: Final = 20


@dataclass(frozen=True)
class Observation:
    """Noise of one scan that is taken for a normal-dose one.

    Attributes:
        name: of the scan.
        acquisition: with kernel class, thickness and body size known.
        noise_hu: its noise.
    """

    name: str
    acquisition: Acquisition
    noise_hu: float


def learn(observations: Sequence[Observation], weights_sha256: str, style: str) -> NormalDoseNoise:
    """Fit the table.

    Args:
        observations: at least one; those without kernel class, thickness or body size, and those
            that are not axial, are left out.
        weights_sha256: of the weights that noise was measured with.
        style: with which it was measured.

    Raises:
        ValueError: if no observation is complete.
    """
    usable = [one for one in observations if _complete(one)]
    if not usable:
        raise ValueError("no scan with known kernel, thickness and body size")
    table = _fit(usable, weights_sha256, style)
    scans = [_told(one, _without(one, usable, weights_sha256, style)) for one in usable]
    errors = [math.log(scan["noise_hu"] / scan["foretold_hu"]) for scan in scans if scan["foretold_hu"]]
    summary = {
        "scans": scans,
        "left_one_out": {
            "foretold": len(errors),
            "of": len(scans),
            "median_factor": round(math.exp(float(np.median(np.abs(errors)))), 3) if errors else None,
            "rms_log": round(float(np.sqrt(np.mean(np.square(errors)))), 4) if errors else None,
        },
    }
    return replace(table, learned_from=summary)


def simulated_offset(kind: str) -> float:
    """Logarithm of the noise behind the simulator's kernel of a class over that behind the standard one."""
    nyquist = SCANNERS["ge-lightspeed"].nyquist_per_mm
    one, standard = (KERNELS[SIMULATED[name]].noise_power(nyquist) for name in (kind, STANDARD))
    return 0.5 * math.log(one / standard)


def _without(
    one: Observation, observations: Sequence[Observation], weights_sha256: str, style: str
) -> NormalDoseNoise | None:
    others = [other for other in observations if other is not one]
    return _fit(others, weights_sha256, style) if others else None


def _fit(observations: Sequence[Observation], weights_sha256: str, style: str) -> NormalDoseNoise:
    known = [_numbers(one) for one in observations]
    kinds = sorted({kind for kind, _, _ in known})
    design = np.zeros((len(known), len(kinds) + 2))
    target = np.zeros(len(known))
    for row, ((kind, thickness, wed), one) in enumerate(zip(known, observations, strict=True)):
        design[row] = _row(kinds, kind, wed)
        target[row] = math.log(one.noise_hu) - log_thickness(thickness)
    mean, covariance, variance = _posterior(design, target, [simulated_offset(kind) for kind in kinds])
    classes = {}
    for index, kind in enumerate(kinds):
        middle = _row(kinds, kind, None)
        classes[kind] = KernelNoise(
            offset=round(float(mean[1 + index]), 4),
            spread=round(math.sqrt(variance + float(middle @ covariance @ middle)), 4),
            scans=sum(kind == other for other, _, _ in known),
        )
    voltages = [one.acquisition.kvp for one in observations if one.acquisition.kvp is not None]
    return NormalDoseNoise(
        level=round(float(mean[0]), 4),
        size_share=round(float(mean[-1]), 4),
        classes=classes,
        thickness_mm=_range([thickness for _, thickness, _ in known]),
        wed_mm=_range([wed for _, _, wed in known]),
        kvp=_range(voltages or [120.0]),
        weights_sha256=weights_sha256,
        style=style,
        learned_from={},
    )


def _posterior(
    design: NDArray[np.float64], target: NDArray[np.float64], offsets: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean and covariance of level, offsets and κ, and the variance of single scans."""
    prior = np.array([LEVEL[0], *offsets, SIZE_SHARE[0]])
    precision = np.diag([LEVEL[1] ** -2, *[OFFSET_SPREAD**-2] * len(offsets), SIZE_SHARE[1] ** -2])
    scatter, worth = SCATTER
    variance = scatter**2
    for _ in range(_ROUNDS):
        covariance = np.linalg.inv(precision + design.T @ design / variance)
        mean = covariance @ (precision @ prior + design.T @ target / variance)
        fitted = float(np.trace(covariance @ design.T @ design)) / variance
        misfit = float(np.square(target - design @ mean).sum())
        variance = (worth * scatter**2 + misfit) / (worth + len(target) - fitted)
    return np.asarray(mean), np.asarray(covariance), variance


def _row(kinds: Sequence[str], kind: str, wed_mm: float | None) -> NDArray[np.float64]:
    large = 0.0 if wed_mm is None else log_attenuation(wed_mm)
    return np.array([1.0, *[float(kind == other) for other in kinds], large])


def _complete(one: Observation) -> bool:
    known = one.acquisition
    told = None not in (known.kernel_class, known.thickness_mm, known.wed_mm)
    return told and known.axial and one.noise_hu > 0


def _numbers(one: Observation) -> tuple[str, float, float]:
    known = one.acquisition
    if known.kernel_class is None or known.thickness_mm is None or known.wed_mm is None:
        raise ValueError(f"{one.name}: kernel, thickness or body size not known")
    return known.kernel_class, known.thickness_mm, known.wed_mm


def _range(values: Sequence[float]) -> tuple[float, float]:
    return round(min(values), 1), round(max(values), 1)


def _told(one: Observation, table: NormalDoseNoise | None) -> dict[str, Any]:
    """Record of a scan, with what a table learned from the others foretells."""
    kind, thickness, wed = _numbers(one)
    foretold = table.expected(one.acquisition) if table is not None else None
    return {
        "name": one.name,
        "kernel_class": kind,
        "thickness_mm": round(thickness, 2),
        "wed_mm": round(wed, 1),
        "kvp": one.acquisition.kvp,
        "noise_hu": round(one.noise_hu, 2),
        "foretold_hu": None if foretold is None else round(foretold.noise_hu, 2),
    }
