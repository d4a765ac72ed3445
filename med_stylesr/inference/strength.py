"""How much of which correction to apply: as given, or solved on sample slices for a dose fraction or a noise level.

A scan at dose fraction F has 1/√F times the noise of a normal-dose one, so a result that leaves √F of the scan's own
noise amplitude has normal-dose noise of the scan's own texture; one that leaves F of it is nearest to the normal-dose
scan in the mean square. Both are mixtures of the scan and of itself without noise, and that is how they are made: the
network tells noise from anatomy, which no dose is needed for, and the plan says how much of it goes.
`metrics.noise_model` says what a correction leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.inference.normal_dose import DoseEstimate
from med_stylesr.inference.request import DEFAULT_STYLE, REFERENCE_STYLE, StrengthRequest
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import InPlane, SliceSource
from med_stylesr.metrics.noise_model import NoiseModel
from med_stylesr.metrics.regions import inner_indices

SAMPLE_SLICES: Final = 4
"""Slices on which noise is measured and strength solved; noise varies slowly along the patient."""
SMOOTH: Final = "smooth"
"""Style at the mean-square end."""
NOISE_FREE: Final = "noise-free"
"""Style that leaves no noise, whatever the dose."""
AS_IS: Final = "as-is"
"""Style that super-resolves and keeps the noise."""
FROM_NOISE: Final = "estimated from the noise"
"""See `StrengthPlan.basis`."""
OWN_KERNEL: Final = (DEFAULT_STYLE, SMOOTH)
"""Styles that differ in the noise they leave and in nothing else: what is left of it can be mixed."""

Estimate = Callable[[float, NDArray[Any]], DoseEstimate]


@dataclass(frozen=True)
class StrengthPlan:
    """What will be done.

    Attributes:
        strength: factor on the correction, 0 … 1.
        correction: style whose correction that is.
        finish: style, of a kernel for example, that is given to the result of it in full; None if there is none.
        noise_before_hu: noise of the input in soft tissue; None if it cannot be measured.
        noise_after_hu: noise expected in the result, before the finish.
        dose_fraction: what the solution aims at: as given, or estimated as the share of noise variance that stays.
        basis: what decided: "given strength", "given dose", "given noise", "estimated from the noise" (against what
            normal dose would have), "estimated by the network" (there is nothing else), "given style" (it keeps the
            noise), or "noise not measurable" (then automatic strength is 1).
        warnings: what did not work out as asked.
        strength_curve: noise in HU that each strength from 0 to 1 would leave, as pairs; empty if not known.
        dose_estimate: what the noise tells of the dose, used or not; None if noise is not measurable or nobody asked.
    """

    strength: float
    correction: str
    finish: str | None
    noise_before_hu: float | None
    noise_after_hu: float | None
    dose_fraction: float | None
    basis: str
    warnings: tuple[str, ...] = ()
    strength_curve: tuple[tuple[float, float], ...] = ()
    dose_estimate: DoseEstimate | None = None

    def facts(self) -> dict[str, Any]:
        """JSON-able record for the manifest."""
        told = {key: value for key, value in asdict(self).items() if key != "warnings"}
        estimate = None if self.dose_estimate is None else self.dose_estimate.facts()
        curve = [list(point) for point in self.strength_curve]
        return {**told, "strength_curve": curve, "dose_estimate": estimate}


def remover(styles: Sequence[str]) -> str:
    """Of the styles of a bank, the one that takes away most noise."""
    return next((name for name in (NOISE_FREE, SMOOTH) if name in styles), styles[0])


def sets_kernel(style: str) -> bool:
    """Whether a style asks for a kernel of its own, be it one that a scan is the reference for."""
    return style not in (*OWN_KERNEL, AS_IS, NOISE_FREE)


def plan_strength(
    source: SliceSource,
    runtime: Runtime,
    style: str,
    request: StrengthRequest,
    spacing_mm: tuple[float, float, float],
    estimate: Estimate | None = None,
) -> StrengthPlan:
    """Decide on the strength from a few slices, at the resolution of the input.

    Args:
        source: the scan.
        runtime: runs the 2D network.
        style: name of the style.
        request: what was asked for.
        spacing_mm: voxel spacing (slice, row, column).
        estimate: tells the dose by the noise in HU and the slices (HU) that it was measured in; None if nothing can.

    Raises:
        UsageError: if the network has no such style.
    """
    sample = inner_indices(source.shape[0], SAMPLE_SLICES) or [source.shape[0] // 2]
    cleaner = remover(runtime.network.style_names)

    @cache
    def terms(style: str) -> tuple[NDArray[Any], NDArray[Any]]:
        return InPlane(source, runtime, runtime.style_code(style), 1.0, (1, 1)).base_and_correction(sample)

    base, removed = terms(cleaner)
    model = NoiseModel.fit(base, removed, spacing_mm)
    given = request.strength
    if model is None:
        fixed = 1.0 if given is None else given
        warning = f"no flat tissue to measure noise in; strength {fixed:g} used as it is"
        asked, basis = ((warning,), "noise not measurable") if given is None else ((), "given strength")
        return StrengthPlan(fixed, style, None, None, None, request.dose_fraction, basis, asked)
    before = model.noise_hu
    told = None if estimate is None else estimate(before, base)
    target, dose, basis = _target(request, style, before, told)
    if target is None:
        s = 1.0 if given is None else given
        if style == REFERENCE_STYLE:
            # Its filter changes the noise as well, by how much nobody knows before.
            return StrengthPlan(s, style, None, before, None, dose, basis or "given style", dose_estimate=told)
        left = model.left_by(removed if style == cleaner else terms(style)[1])
        if not basis:
            dose, basis = min(1.0, (left(s) / before) ** 2) if before > 0 else 1.0, "estimated by the network"
        return StrengthPlan(
            s, style, None, before, left(s), dose, basis, strength_curve=_curve(left), dose_estimate=told
        )
    left = model.left_by(removed)
    s = _solve(left, target)
    warnings: tuple[str, ...] = ()
    if target < 0.95 * left(s):
        warnings = (f"noise of {target:.1f} HU cannot be reached; the least this bundle leaves is {left(s):.1f} HU",)
    finish = style if sets_kernel(style) else None
    return StrengthPlan(
        s, cleaner, finish, before, left(s), dose, basis, warnings, strength_curve=_curve(left), dose_estimate=told
    )


def _curve(left: Callable[[float], float]) -> tuple[tuple[float, float], ...]:
    return tuple((s, round(left(s), 3)) for s in np.linspace(0, 1, 11).round(1).tolist())


def _target(
    request: StrengthRequest, style: str, before: float, told: DoseEstimate | None
) -> tuple[float | None, float | None, str]:
    """Noise to leave in HU, the dose fraction behind it, and what decided; no noise where no dose is known."""
    dose = request.dose_fraction
    if request.strength is not None:
        return None, dose, "given strength"
    if style in (AS_IS, NOISE_FREE) and request.target_noise_hu is None:
        return None, dose, "given style"
    if request.target_noise_hu is not None:
        return request.target_noise_hu, dose, "given noise"
    basis = "given dose"
    if dose is None and told is not None and told.dose_fraction is not None:
        dose, basis = told.dose_fraction, FROM_NOISE
    if dose is None:
        return None, None, ""
    return before * (dose if style == SMOOTH else math.sqrt(dose)), dose, basis


def _solve(noise: Callable[[float], float], target: float) -> float:
    """Smallest strength whose noise is the target: 0 if the input has less already, that of least noise if none has."""
    s = np.linspace(0.0, 1.0, 201)
    found = np.array([noise(float(x)) for x in s])
    levels = np.minimum.accumulate(found)
    if target >= levels[0]:
        return 0.0
    if target <= levels[-1]:
        # A correction may be larger than the noise; beyond where it takes all of it, some comes back.
        return round(float(s[found.argmin()]), 4)
    return round(float(np.interp(-target, -levels, s)), 4)


__all__ = ["AS_IS", "SAMPLE_SLICES", "StrengthPlan", "StrengthRequest", "plan_strength", "remover", "sets_kernel"]
