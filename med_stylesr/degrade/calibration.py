"""Fit the simulator to a scan: photons, kernel and tube current such that it simulates the noise the scan has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from med_stylesr.degrade.dose import Calibration, LowDoseSimulator
from med_stylesr.degrade.kernel import ReconstructionKernel, from_nps
from med_stylesr.degrade.texture import NoiseTexture, flat_regions, measure

_PROBE_I0: Final = 2e5
_ROUNDS: Final = 3
_MODULATIONS: Final = (0.0, 1.0)
"""Exponents of tube current modulation that are tried; the one between that streaks like the scan is taken."""
USUAL_MODULATION: Final = 0.5
"""The exponent of least noise: what a scan is taken to have where its noise cannot be measured, or says little."""
_USUAL_COUNTS: Final = 16
"""Flat regions that a scan must have for its own exponent to count as much as the usual one."""
_SEED: Final = 20120704


class NoFlatTissueError(ValueError):
    """The scan shows too little flat soft tissue to measure its noise in."""


def calibrate(
    simulator: LowDoseSimulator,
    hu: Tensor,
    spacing_mm: Sequence[float],
    *,
    kernel: ReconstructionKernel | None = None,
    tube_current_modulation: float | None = None,
    probe_slices: int = 6,
) -> Calibration:
    """Choose I0, and kernel and tube current modulation unless they are given, from the noise of flat soft tissue.

    The simulator makes the noise of the whole scan in the slices with most flat tissue; it is measured in the same
    regions by the same estimator as the scan's own, the kernel is corrected by the square root of the ratio of the
    spectra, and I0 by the ratio of the variances. Biases of the estimator cancel.

    An oblong body at constant current has noise in streaks along its longer side. Scanners modulate the current and
    smooth starved projections against that. The exponent of modulation is the one whose noise
    streaks like the scan's (`NoiseTexture.streaking`, which is nearly linear in the exponent); it stands for both.

    Args:
        simulator: what to calibrate.
        hu: (K, H, W) HU.
        spacing_mm: slice, row and column spacing in mm.
        kernel: keep this kernel.
        tube_current_modulation: keep this exponent, see `Calibration`.
        probe_slices: slices simulated; more is slower and steadier.

    Returns:
        Photons, kernel, modulation and the measured noise of the scan.

    Raises:
        NoFlatTissueError: if fewer than 4 flat regions of 32 pixels are found, or they hold no noise.
    """
    pixel_mm = float(spacing_mm[2])
    stride = max(1, len(hu) // 32)
    regions = flat_regions(hu[::stride])
    if len(regions) == 0:
        raise NoFlatTissueError("too little flat soft tissue to measure noise in")
    regions[:, 0] *= stride
    counts = torch.bincount(regions[:, 0], minlength=len(hu))
    best = counts.argsort(descending=True, stable=True)[:probe_slices]
    best = best[counts[best] > 0]
    probes = hu[best]
    chosen = torch.isin(regions[:, 0], best)
    local = regions[chosen].clone()
    local[:, 0] = (local[:, :1] == best[None]).int().argmax(dim=1)

    present = measure(probes, pixel_mm, local)
    if not present.noise_sd_hu > 0:
        raise NoFlatTissueError("flat soft tissue holds no noise at all")

    def simulated(how: Calibration) -> NoiseTexture:
        return measure(simulator.scan_noise(probes, spacing_mm, how, seed=_SEED), pixel_mm, local)

    shape = kernel or from_nps("matched", present.frequency_per_mm.tolist(), present.nps.tolist())
    first = USUAL_MODULATION if tube_current_modulation is None else tube_current_modulation
    fitted = Calibration(_PROBE_I0, shape, present.noise_sd_hu, first)
    for turn in range(_ROUNDS):
        found = simulated(fitted)
        refit = kernel is None and turn < _ROUNDS - 1
        better = _corrected(fitted.kernel, present, found) if refit else fitted.kernel
        nyquist = simulator.geometry.nyquist_per_mm
        gain = better.noise_power(nyquist) / fitted.kernel.noise_power(nyquist)
        gain *= (found.noise_sd_hu / present.noise_sd_hu) ** 2
        fitted = replace(fitted, i0_photons=fitted.i0_photons * gain, kernel=better)
        if turn == 0 and tube_current_modulation is None:
            tried = [simulated(replace(fitted, tube_current_modulation=a)) for a in _MODULATIONS]
            fitted = replace(fitted, tube_current_modulation=_exponent(present, *tried))
    return fitted


def _exponent(scan: NoiseTexture, constant: NoiseTexture, modulated: NoiseTexture) -> float:
    """Exponent between `_MODULATIONS`, simulated at both, at which noise streaks like the scan's."""
    span = modulated.streaking - constant.streaking
    if span == 0:
        return USUAL_MODULATION
    own = min(max((scan.streaking - constant.streaking) / span, _MODULATIONS[0]), _MODULATIONS[1])
    return (own * scan.regions + USUAL_MODULATION * _USUAL_COUNTS) / (scan.regions + _USUAL_COUNTS)


def _corrected(kernel: ReconstructionKernel, scan: NoiseTexture, simulated: NoiseTexture) -> ReconstructionKernel:
    """Kernel whose noise power is changed by the ratio of two spectra measured alike."""
    tiny = 1e-6 * float(simulated.nps.max())
    power = kernel.nps(scan.frequency_per_mm)
    ratio = (scan.nps / simulated.nps.clamp_min(tiny)).clamp(1 / 16, 16)
    return from_nps(kernel.name, scan.frequency_per_mm.tolist(), (power * ratio).tolist())
