"""Noise of a scan measured from its own pixels: radial noise power spectrum and SD in flat soft tissue.

Dose tags cannot be trusted (simulated and archived scans often carry another dose), pixels can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from med_stylesr.hu import TISSUES

ROI: Final = 32
"""Edge of a region of interest in pixels: flat regions of this size exist in liver, muscle and heart."""
_STRIDE: Final = 8
_SOUGHT: Final = ((9, TISSUES["soft tissue"].low - 30, 160.0), (17, -150.0, 450.0))
"""What counts as flat tissue: smoothing in pixels that shows it under the noise, lowest and highest smoothed HU. Soft
tissue, and where a scan has none (a chest), fat and enhanced vessels too under a wider smoothing."""
_MOST_SPREAD: Final = 120.0
_LOWEST_BIN: Final = 3
"""Radial bins of the spectrum below this one hold anatomy as much as noise, and are not used."""
_LOWEST_STREAKS: Final = 6
"""The same for the direction of the noise: borders of organs have one, and reach higher."""
_FEWEST: Final = 4
_MOST: Final = 96


@dataclass(frozen=True)
class NoiseTexture:
    """Measured noise.

    Attributes:
        frequency_per_mm: centres of the radial bins, in 1/mm, up to the corners of the spectrum (√2 · Nyquist).
        nps: noise power, HU²·mm², median over regions.
        noise_sd_hu: SD of the noise in those bins, in HU. Frequencies too low to tell from anatomy are left out.
        streaking: natural logarithm of the noise power within 30° of the vertical frequency axis over that within 30°
            of the horizontal one. 0 for noise alike in both directions, positive for streaks along the rows, as rays
            across the shoulders, the arms or the hips make them.
        regions: number of regions it was measured in.
    """

    frequency_per_mm: Tensor
    nps: Tensor
    noise_sd_hu: float
    streaking: float
    regions: int


def flat_regions(hu: Tensor) -> Tensor:
    """Find the flattest soft-tissue regions of a stack.

    A region counts if its smoothed HU lie in the soft-tissue range everywhere; the half of them whose smoothed HU
    vary least is kept.

    Args:
        hu: (K, H, W) HU.

    Returns:
        (R, 3) integer slice, first row and first column of regions of `ROI` pixels, R ≤ 96; empty if fewer than 4.
    """
    places: list[tuple[float, int, int, int]] = []
    if min(hu.shape[1:]) >= ROI:
        for sought in _SOUGHT:
            if len(places) < _FEWEST:
                places = sorted(place for k, plane in enumerate(hu.float()) for place in _candidates(plane, k, *sought))
    if len(places) < _FEWEST:
        return torch.zeros(0, 3, dtype=torch.int64, device=hu.device)
    chosen = places[: min(_MOST, max(_FEWEST, len(places) // 2))]
    return torch.tensor([place[1:] for place in chosen], device=hu.device)


def _candidates(plane: Tensor, k: int, smooth: int, low: float, high: float) -> list[tuple[float, int, int, int]]:
    """Regions of slice `k` whose smoothed HU lie in [low, high] everywhere, as (spread, slice, row, column)."""
    mean = functional.avg_pool2d(plane[None, None], smooth, stride=1, padding=smooth // 2)
    top = functional.max_pool2d(mean, ROI, stride=_STRIDE)[0, 0]
    bottom = -functional.max_pool2d(-mean, ROI, stride=_STRIDE)[0, 0]
    fits = torch.nonzero((top <= high) & (bottom >= low) & (top - bottom <= _MOST_SPREAD)).tolist()
    return [(float(top[r, c] - bottom[r, c]), k, r * _STRIDE, c * _STRIDE) for r, c in fits]


def measure(hu: Tensor, pixel_mm: float, regions: Tensor) -> NoiseTexture:
    """Measure the noise of regions: second-order trend removed, Hann window, radial mean, median over regions.

    Args:
        hu: (K, H, W) HU.
        pixel_mm: pixel size in mm.
        regions: (R, 3) from `flat_regions`.

    Returns:
        Spectrum and SD.

    Source: AAPM TG-233 (2019), doi 10.37206/186, section on noise texture; Siewerdsen et al., Med Phys 29 (2002) 2655,
    doi 10.1118/1.1513158.
    """
    patches = torch.stack([hu[k, r : r + ROI, c : c + ROI] for k, r, c in regions.tolist()]).double()
    position = torch.linspace(-1, 1, ROI, dtype=torch.float64, device=hu.device)
    y, x = (axis.flatten() for axis in torch.meshgrid(position, position, indexing="ij"))
    basis, _ = torch.linalg.qr(torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], dim=1))
    flat = patches.flatten(1)
    flat = flat - flat @ basis @ basis.T
    window = torch.hann_window(ROI, periodic=True, dtype=torch.float64, device=hu.device)
    window = window[:, None] * window
    power = torch.fft.fft2(flat.reshape(-1, ROI, ROI) * window).abs() ** 2 * (pixel_mm**2 / window.square().sum())

    cycles = torch.fft.fftfreq(ROI, dtype=torch.float64, device=hu.device) * ROI
    ring = torch.round(torch.hypot(cycles[:, None], cycles)).long().flatten()
    rings = int(ring.max()) + 1
    size = torch.bincount(ring, minlength=rings)
    total = power.new_zeros(len(power), rings).index_add_(1, ring, power.flatten(1))
    radial = (total / size).median(dim=0).values
    used = torch.arange(_LOWEST_BIN, rings, device=hu.device)
    step = 1 / (ROI * pixel_mm)
    variance = float((radial * size)[used].sum()) * step**2
    streaking = _streaking(power, cycles, ring.reshape(ROI, ROI))
    return NoiseTexture(used.double() * step, radial[used], math.sqrt(variance), streaking, len(patches))


def _streaking(power: Tensor, cycles: Tensor, ring: Tensor) -> float:
    """Logarithm of the ratio of the powers around both axes of spectra (R, ROI, ROI); see `NoiseTexture`."""
    known = (ring >= _LOWEST_STREAKS) & (ring <= ROI // 2)
    down, across = cycles.abs()[:, None], cycles.abs()
    vertical, horizontal = down >= math.sqrt(3) * across, across >= math.sqrt(3) * down
    both = [power[:, known & sector].mean() for sector in (vertical, horizontal)]
    return float((both[0] / both[1]).log()) if min(both) > 0 else 0.0
