"""Fit the simulator to a scan: photons and kernel such that the noise it simulates is the noise the scan has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from med_stylesr.degrade.dose import Calibration, LowDoseSimulator
from med_stylesr.degrade.kernel import ReconstructionKernel, from_nps
from med_stylesr.degrade.texture import NoiseTexture, flat_regions, measure

_PROBE_I0: Final = 2e5
_ROUNDS: Final = 3
_SEED: Final = 20120704


class NoFlatTissueError(ValueError):
    """The scan shows too little flat soft tissue to measure its noise in."""


def calibrate(
    simulator: LowDoseSimulator,
    hu: Tensor,
    spacing_mm: Sequence[float],
    *,
    kernel: ReconstructionKernel | None = None,
    probe_slices: int = 6,
) -> Calibration:
    """Choose I0, and the kernel unless it is given, from the noise of flat soft tissue.

    The simulator makes the noise of the whole scan in the slices with most flat tissue; it is measured in the same
    regions by the same estimator as the scan's own, the kernel is corrected by the square root of the ratio of the
    spectra, and I0 by the ratio of the variances. Biases of the estimator cancel.

    Args:
        simulator: what to calibrate.
        hu: (K, H, W) HU.
        spacing_mm: slice, row and column spacing in mm.
        kernel: keep this kernel and fit I0 alone.
        probe_slices: slices simulated; more is slower and steadier.

    Returns:
        Photons, kernel and the measured noise of the scan.

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
    fitted = kernel or from_nps("matched", present.frequency_per_mm.tolist(), present.nps.tolist())
    i0 = _PROBE_I0
    for turn in range(_ROUNDS):
        noise = simulator.scan_noise(probes, spacing_mm, Calibration(i0, fitted), seed=_SEED)
        simulated = measure(noise, pixel_mm, local)
        refit = kernel is None and turn < _ROUNDS - 1
        better = _corrected(fitted, present, simulated) if refit else fitted
        nyquist = simulator.geometry.nyquist_per_mm
        gain = better.noise_power(nyquist) / fitted.noise_power(nyquist)
        i0 *= (simulated.noise_sd_hu / present.noise_sd_hu) ** 2 * gain
        fitted = better
    return Calibration(i0, fitted, present.noise_sd_hu)


def _corrected(kernel: ReconstructionKernel, scan: NoiseTexture, simulated: NoiseTexture) -> ReconstructionKernel:
    """Kernel whose noise power is changed by the ratio of two spectra measured alike."""
    tiny = 1e-6 * float(simulated.nps.max())
    power = kernel.nps(scan.frequency_per_mm)
    ratio = (scan.nps / simulated.nps.clamp_min(tiny)).clamp(1 / 16, 16)
    return from_nps(kernel.name, scan.frequency_per_mm.tolist(), (power * ratio).tolist())
