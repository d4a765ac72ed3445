"""Noise: its standard deviation in patients, its power spectrum (NPS), and what a method does to each band.

Needs numpy and scipy only: the enhancer measures noise with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.metrics.regions import CLASS_SMOOTHING_MM, spread_indices

NOISE_WINDOW_MM: Final = 12.0
"""Edge of the window of local noise: wide enough for the grain of soft kernels, small enough to fit between organs."""
BANDS_PER_MM: Final[dict[str, tuple[float, float]]] = {
    "coarse": (0.05, 0.15),
    "low": (0.15, 0.3),
    "middle": (0.3, 0.5),
    "high": (0.5, 0.75),
}
"""Spatial frequency bands, 1/mm. Below 0.05 /mm the detrending of the regions leaves nothing to measure."""


@dataclass(frozen=True)
class NoisePowerSpectrum:
    """An n-dimensional noise power spectrum.

    Attributes:
        power: HU² mmⁿ, zero frequency in the first corner (numpy.fft order).
        frequencies_per_mm: one axis of frequencies a dimension, 1/mm, in the same order.
        regions: number of regions averaged.
    """

    power: NDArray[np.float64]
    frequencies_per_mm: tuple[NDArray[np.float64], ...]
    regions: int

    @property
    def noise_sd_hu(self) -> float:
        """Noise magnitude: square root of the integral of the spectrum (Parseval)."""
        cell = np.prod([f[1] - f[0] for f in self.frequencies_per_mm])
        return float(np.sqrt(self.power.sum() * cell))

    def radial_frequency(self) -> NDArray[np.float64]:
        """|f| of every sample, 1/mm."""
        squares = np.meshgrid(*[f**2 for f in self.frequencies_per_mm], indexing="ij")
        return np.asarray(np.sqrt(sum(squares)), dtype=np.float64)

    def band_power(self, low_per_mm: float, high_per_mm: float) -> float:
        """Variance (HU²) that lies between two radial frequencies; NaN for a band beyond the grid's frequencies."""
        f = self.radial_frequency()
        inside = (f >= low_per_mm) & (f < high_per_mm)
        cell = np.prod([axis[1] - axis[0] for axis in self.frequencies_per_mm])
        return float(self.power[inside].sum() * cell) if inside.any() else float("nan")


@dataclass(frozen=True)
class RadialProfile:
    """Radially averaged spectrum: `power` (HU² mmⁿ) at `frequency_per_mm` (bin centres, 1/mm)."""

    frequency_per_mm: NDArray[np.float64]
    power: NDArray[np.float64]

    @property
    def peak_per_mm(self) -> float:
        """Frequency of the highest bin after a three-bin smoothing."""
        smooth = ndimage.uniform_filter1d(self.power, 3, mode="nearest")
        return float(self.frequency_per_mm[int(smooth.argmax())])

    @property
    def mean_per_mm(self) -> float:
        """Average frequency ∫ f·NPS(f) df / ∫ NPS(f) df.

        Source:
            Samei et al., AAPM TG-233, Med Phys 46 (2019) e735, doi:10.1002/mp.13763.
        """
        total = self.power.sum()
        return float((self.frequency_per_mm * self.power).sum() / total) if total > 0 else float("nan")


def noise_power_spectrum(
    regions: Sequence[NDArray[Any]], spacing_mm: Sequence[float], *, detrend_order: int = 2
) -> NoisePowerSpectrum:
    """Ensemble noise power spectrum of detrended regions of interest, in as many dimensions as the regions have.

    NPS(f) = (Π Δx / Π N) · ⟨ |DFT(region − polynomial trend)|² ⟩, so that its integral is the noise variance.

    Args:
        regions: HU, all of one shape (N rows, M columns) or (K slices, N, M).
        spacing_mm: voxel spacing along the regions' axes.
        detrend_order: degree of the polynomial removed from every region; 0 removes its mean only.

    Raises:
        ValueError: without regions, or if shapes differ or do not fit `spacing_mm`.

    Source:
        AAPM TG-233, doi:10.1002/mp.13763, section on NPS; ICRU Report 87 (2012).
    """
    if not regions:
        raise ValueError("a noise power spectrum needs at least one region")
    shape = regions[0].shape
    if len(shape) != len(spacing_mm) or any(r.shape != shape for r in regions):
        raise ValueError("regions must share one shape with as many axes as the spacing")
    trend = _polynomials(shape, detrend_order)
    power = np.zeros(shape)
    for region in regions:
        flat = np.asarray(region, dtype=np.float64).ravel()
        residual = (flat - trend @ (trend.T @ flat)).reshape(shape)
        power += np.abs(np.fft.fftn(residual)) ** 2
    # The trend's polynomials take degrees of freedom away; without this the variance would come out low.
    dof = flat.size / (flat.size - trend.shape[1])
    scale = dof * np.prod(spacing_mm) / flat.size / len(regions)
    axes = tuple(np.asarray(np.fft.fftfreq(n, mm), dtype=np.float64) for n, mm in zip(shape, spacing_mm, strict=True))
    return NoisePowerSpectrum(power * scale, axes, len(regions))


def radial_profile(nps: NoisePowerSpectrum) -> RadialProfile:
    """Average a spectrum over directions, in bins as wide as the coarsest frequency step, up to the Nyquist limit.

    The zero bin is left out: it holds what detrending removed.
    """
    step = max(float(f[1] - f[0]) for f in nps.frequencies_per_mm)
    limit = min(float(np.abs(f).max()) for f in nps.frequencies_per_mm)
    index = np.rint(nps.radial_frequency() / step).astype(int).ravel()
    count = np.bincount(index)
    total = np.bincount(index, nps.power.ravel())
    radius = np.bincount(index, nps.radial_frequency().ravel())
    bins = slice(1, int(limit / step) + 1)
    return RadialProfile(radius[bins] / count[bins], total[bins] / count[bins])


def band_power_ratio(
    after: NoisePowerSpectrum, before: NoisePowerSpectrum, bands: dict[str, tuple[float, float]] | None = None
) -> dict[str, float]:
    """Noise power in `after` over that in `before`, a frequency band at a time; NaN beyond the grid's frequencies.

    Args:
        after: spectrum of the result, or of the method's image.
        before: spectrum of the input, or of the normal-dose image (then 1.0 is the aim).
        bands: name to (low, high) in 1/mm; `BANDS_PER_MM` when left out.
    """
    ratios: dict[str, float] = {}
    for name, (low, high) in (bands or BANDS_PER_MM).items():
        below = before.band_power(low, high)
        ratios[name] = after.band_power(low, high) / below if below > 0 else float("nan")
    return ratios


def noise_sd(hu: NDArray[Any], spacing_mm: tuple[float, float, float], *, max_slices: int = 16) -> float:
    """Noise standard deviation of a patient or phantom scan, in HU, without a reference.

    The mode of the standard deviation in sliding windows of soft tissue, each window freed from its linear trend:
    windows that hold structure lie in the upper tail and do not move the mode. Windows qualify by the smoothed image.

    Args:
        hu: HU, shape (slices, rows, columns).
        spacing_mm: voxel spacing (slice, row, column).
        max_slices: slices looked at, spread evenly over the scan.

    Raises:
        ValueError: if no window of soft tissue exists.

    Source:
        Christianson et al., AJR 205 (2015) W93, doi:10.2214/AJR.14.13613 (global noise level); trend removal added.
    """
    window = max(5, round(NOISE_WINDOW_MM / spacing_mm[2]) | 1)
    sigma = [CLASS_SMOOTHING_MM / mm for mm in spacing_mm[1:]]
    found: list[NDArray[np.float64]] = []
    for k in spread_indices(hu.shape[0], max_slices):
        plane = hu[k].astype(np.float64)
        if min(plane.shape) < window:
            break
        smooth = ndimage.gaussian_filter(plane, sigma, mode="nearest")
        soft = ndimage.minimum_filter(smooth, window, mode="constant", cval=-np.inf) > -60
        soft &= ndimage.maximum_filter(smooth, window, mode="constant", cval=np.inf) < 250
        if soft.any():
            found.append(_local_sd(plane, window)[soft])
    if not found:
        raise ValueError("no soft tissue wide enough to measure noise in")
    values = np.concatenate(found)
    top = 1.5 * float(np.percentile(values, 90))
    if top == 0:
        return 0.0
    counts, edges = np.histogram(values, bins=240, range=(0.0, top))
    density = ndimage.gaussian_filter1d(counts.astype(np.float64), 6.0)
    best = int(density.argmax())
    return float(edges[best] + edges[best + 1]) / 2


def _local_sd(plane: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Standard deviation about the best-fitting plane in a square window around every pixel."""
    offset = np.arange(window) - (window - 1) / 2
    ramp = offset / window
    plane = plane - plane.mean()  # Squares of large offsets would cancel.

    def box(image: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(ndimage.uniform_filter1d(image, window, axis=axis), dtype=np.float64)

    across, down = box(plane, 1), box(plane, 0)
    slopes = ndimage.correlate1d(across, ramp, axis=0) ** 2 + ndimage.correlate1d(down, ramp, axis=1) ** 2
    variance = box(box(plane**2, 0), 1) - box(across, 0) ** 2 - slopes / (offset**2).mean()
    dof = window**2 / (window**2 - 3)
    return np.asarray(np.sqrt(np.maximum(variance * dof, 0)), dtype=np.float64)


def _polynomials(shape: tuple[int, ...], order: int) -> NDArray[np.float64]:
    """Orthonormal columns that span all polynomials up to a total degree on a grid."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    powers = np.indices((order + 1,) * len(shape)).reshape(len(shape), -1).T
    terms = [
        np.prod([x**p for x, p in zip(axes, power, strict=True)], axis=0).ravel()
        for power in powers
        if power.sum() <= order
    ]
    return np.linalg.qr(np.stack(terms, axis=1))[0]
