"""How much of the correction to apply: fixed, or solved on sample slices for a dose fraction or a noise level.

A scan at dose fraction F has 1/√F times the noise of a normal-dose one, so a result that leaves √F of the scan's own
noise amplitude has normal-dose noise of the scan's own texture. `metrics.noise_model` says what a correction leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.inference.request import StrengthRequest
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import InPlane, SliceSource
from med_stylesr.metrics.noise_model import NoiseModel
from med_stylesr.metrics.regions import spread_indices

SAMPLE_SLICES: Final = 4
"""Slices on which noise is measured and strength solved; noise varies slowly along the patient."""
SMOOTH: Final = "smooth"
"""Style at the mean-square end: the least noise a network leaves by itself."""
MOST_GAIN: Final = 2.0
"""Beyond it, what the correction has wrong would outweigh what it has right."""


@dataclass(frozen=True)
class StrengthPlan:
    """What will be done.

    Attributes:
        strength: factor on the correction, 0 … 1.
        towards_smooth: share of the style `smooth` in the style code, 0 … 1; above 0 only to reach a noise level that
            the style itself does not.
        noise_before_hu: noise of the input in soft tissue; None if it cannot be measured.
        noise_after_hu: noise expected in the result.
        dose_fraction: what the solution aims at: as given, or estimated as the share of noise variance that stays.
        basis: what decided: "given strength", "given dose", "given noise", "estimated by the network", or
            "noise not measurable" (then automatic strength is 1).
        warnings: what did not work out as asked.
        gain: factor on the correction on top of `strength`, 1 … `MOST_GAIN`; above 1 only to reach a noise level that
            even `smooth` does not. A network that cannot know the dose takes too little from a quiet scan; what it
            takes is proportional to the noise, and has no local mean at any factor.
        strength_curve: noise in HU that each strength from 0 to 1 would leave, as pairs; empty if not measurable.
    """

    strength: float
    towards_smooth: float
    noise_before_hu: float | None
    noise_after_hu: float | None
    dose_fraction: float | None
    basis: str
    warnings: tuple[str, ...] = ()
    gain: float = 1.0
    strength_curve: tuple[tuple[float, float], ...] = ()

    def facts(self) -> dict[str, Any]:
        """JSON-able record for the manifest."""
        told = {key: value for key, value in asdict(self).items() if key != "warnings"}
        return {**told, "strength_curve": [list(point) for point in self.strength_curve]}


def plan_strength(
    source: SliceSource,
    runtime: Runtime,
    style: str,
    request: StrengthRequest,
    spacing_mm: tuple[float, float, float],
) -> StrengthPlan:
    """Decide on the strength from a few slices, at the resolution of the input.

    Args:
        source: the scan.
        runtime: runs the 2D network.
        style: name of the style.
        request: what was asked for.
        spacing_mm: voxel spacing (slice, row, column).

    Raises:
        UsageError: if the network has no such style.
    """
    wanted = spread_indices(source.shape[0] + 2, SAMPLE_SLICES + 2)[1:-1]
    sample = [k - 1 for k in wanted] or [source.shape[0] // 2]
    smoothest = SMOOTH if SMOOTH in runtime.network.style_names else style

    def terms(towards_smooth: float) -> tuple[NDArray[Any], NDArray[Any]]:
        code = runtime.style_code(style, smoothest, towards_smooth)
        return InPlane(source, runtime, code, 1.0, (1, 1)).base_and_correction(sample)

    base, removed = terms(1.0)
    model = NoiseModel.fit(base, removed, spacing_mm)
    if model is None:
        fixed = 1.0 if request.strength is None else request.strength
        warning = f"no flat tissue to measure noise in; strength {fixed:g} used as it is"
        asked = (warning,) if request.strength is None else ()
        basis = "given strength" if request.strength is not None else "noise not measurable"
        return StrengthPlan(fixed, 0.0, None, None, request.dose_fraction, basis, asked)
    left = model.left_by(removed if style == smoothest else terms(0.0)[1])
    before, after = model.noise_hu, left(1.0)
    if request.strength is not None:
        s = request.strength
        return StrengthPlan(
            s, 0.0, before, left(s), request.dose_fraction, "given strength", strength_curve=_curve(left)
        )
    target, basis = _target(request, before)
    if target is None:
        share = min(1.0, (after / before) ** 2) if before > 0 else 1.0
        basis = "estimated by the network"
        return StrengthPlan(1.0, 0.0, before, after, share, basis, strength_curve=_curve(left))
    if target >= after:
        s = _solve(left, target)
        return StrengthPlan(s, 0.0, before, left(s), request.dose_fraction, basis, strength_curve=_curve(left))
    steps = np.array([0.0, 0.5, 1.0])
    levels = np.minimum.accumulate([after, model.left_by(terms(0.5)[1])(1.0), model.left_by(removed)(1.0)])
    share = float(np.interp(-target, -levels, steps))
    reached = float(np.interp(share, steps, levels))
    used = model.left_by(removed if share == 1.0 else terms(share)[1])
    gain = (
        _solve(lambda g: used(1.0 + g * (MOST_GAIN - 1.0)), target) * (MOST_GAIN - 1.0) + 1.0 if share == 1.0 else 1.0
    )
    reached = used(gain) if gain > 1.0 else reached
    warnings: tuple[str, ...] = ()
    if target < 0.95 * reached:
        warnings = (f"noise of {target:.1f} HU cannot be reached; the least this bundle leaves is {reached:.1f} HU",)
    return StrengthPlan(
        1.0, round(share, 4), before, reached, request.dose_fraction, basis, warnings, round(gain, 4), _curve(used)
    )


def _curve(left: Callable[[float], float]) -> tuple[tuple[float, float], ...]:
    return tuple((s, round(left(s), 3)) for s in np.linspace(0, 1, 11).round(1).tolist())


def _target(request: StrengthRequest, before: float) -> tuple[float | None, str]:
    if request.target_noise_hu is not None:
        return request.target_noise_hu, "given noise"
    if request.dose_fraction is not None:
        return float(np.sqrt(request.dose_fraction)) * before, "given dose"
    return None, ""


def _solve(noise: Callable[[float], float], target: float) -> float:
    """Smallest strength whose noise is the target (0 if the input has less already)."""
    s = np.linspace(0.0, 1.0, 201)
    levels = np.minimum.accumulate([noise(float(x)) for x in s])
    if target >= levels[0]:
        return 0.0
    return round(float(np.interp(-target, -levels, s)), 4)


__all__ = ["SAMPLE_SLICES", "SMOOTH", "StrengthPlan", "StrengthRequest", "plan_strength"]
