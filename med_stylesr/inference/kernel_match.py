"""The kernel of a scan made that of another one: their spectra are compared, and the difference is filtered away.

A reconstruction kernel multiplies the spectrum of image and noise by one smooth, radial response. Two scans of bodies
have much the same spectrum but for it, so half the log of the ratio of their power spectra is the log of the filter
that leads from one kernel to the other. It is 1 at frequency 0: no local mean moves, but for air
that would fall below the scale and is cut off at its end.

Which part of that ratio is kernel and which is anatomy is settled by what kernels look like. The log response is fitted
by f² and f⁴ freely (Gaussian-like roll-offs) and by three hyperbolas, which turn from quadratic to linear at one
frequency each, with a penalty that weighs as much as the ratio is rough. Spectra of the same body agree bin by bin, and
the fit follows them; those of different bodies scatter, and the fit stays plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.inference.slices import Hu, SliceSource
from med_stylesr.metrics.regions import spread_indices

STEP_PER_MM: Final = 0.0085
"""Width of a bin of the radial spectrum: that of a field of view of 120 mm, narrower than any kernel's features."""
MATCHED: Final = (0.02, 0.95)
"""Where spectra are compared: from a frequency in 1/mm, below which bodies differ, to this share of the Nyquist one."""
LEVEL: Final = (0.01, 0.03)
"""Frequencies in 1/mm at which kernels do not differ: the level of one spectrum over the other."""
TURNS_PER_MM: Final = (0.05, 0.15, 0.4)
"""Where the hyperbolas turn."""
TURN_PRIOR: Final = 3.0
"""Standard deviation of their weights in mm."""
ROUGHNESS_WEIGHT: Final = 1000.0
"""Variance of the fit over that of neighbouring bins: spectra of bodies differ over wide ranges, not from bin to bin.
Chosen on pairs of training scans with kernels that were put on them."""
GAIN: Final = (0.007, 30.0)
"""Noise that was amplified further would be rounding and not the scan's."""
SAMPLE_SLICES: Final = 8
"""Slices that a spectrum is the mean of."""
MARGIN: Final = 16
"""Mirrored pixels around a slice, so that opposite borders do not reach each other."""

Response = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Gain at frequencies in 1/mm."""


@dataclass(frozen=True)
class Spectrum:
    """Radial power spectrum of slices.

    Attributes:
        power: mean power in bins of `STEP_PER_MM` from 0 up, HU² mm²; NaN in empty bins.
        nyquist_per_mm: of the coarser axis.
    """

    power: NDArray[np.float64]
    nyquist_per_mm: float


def radial_spectrum(hu: Sequence[NDArray[Any]], spacing_mm: tuple[float, float, float]) -> Spectrum:
    """Mean spectrum of slices (rows, columns) in HU, under a Hann window; padding and metal are clipped."""
    _, dy, dx = spacing_mm
    rows, columns = hu[0].shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)[None]
    bins = (_radius((rows, columns), (dy, dx)) / STEP_PER_MM).astype(np.intp).ravel()
    power = np.zeros(bins.size)
    for image in hu:
        x = np.clip(image, HU_MIN, HU_MAX).astype(np.float64)
        power += np.abs(fft.rfft2((x - x.mean()) * window)).ravel() ** 2
    count = np.bincount(bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bins, power) / count * (dy * dx / len(hu) / np.square(window).sum())
    return Spectrum(mean, 0.5 / max(dy, dx))


def kernel_response(source: Spectrum, wanted: Spectrum) -> Response:
    """Filter that gives a scan of spectrum `source` the kernel of one with `wanted`."""
    bins = min(len(source.power), len(wanted.power))
    f = (np.arange(bins) + 0.5) * STEP_PER_MM
    with np.errstate(invalid="ignore", divide="ignore"):
        y = 0.5 * np.log(wanted.power[:bins] / source.power[:bins])
    top = MATCHED[1] * min(source.nyquist_per_mm, wanted.nyquist_per_mm)
    used = np.isfinite(y) & (f > MATCHED[0]) & (f < top)
    level = np.isfinite(y) & (f > LEVEL[0]) & (f < LEVEL[1])
    if used.sum() < 2 * (len(TURNS_PER_MM) + 2) or not level.any():
        return np.ones_like
    y = y - y[level].mean()
    # Second differences of independent errors have six times their variance; the median does not see features.
    rough = np.median(np.abs(np.diff(y[used], 2))) / 0.6745
    variance = max(rough**2 / 6 * ROUGHNESS_WEIGHT, 1e-9)
    terms = _terms(f[used])
    penalty = np.diag([0.0, 0.0, *[TURN_PRIOR**-2] * len(TURNS_PER_MM)])
    weights = np.linalg.solve(terms.T @ terms / variance + penalty, terms.T @ y[used] / variance)

    def response(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Constant beyond what was compared."""
        return np.exp(np.clip(_terms(np.minimum(frequency, top)) @ weights, *np.log(GAIN)))

    return response


def _terms(f: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([f**2, f**4, *(np.hypot(f, turn) - turn for turn in TURNS_PER_MM)], axis=-1)


def _radius(shape: tuple[int, int], spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Frequencies in 1/mm of a real transform."""
    (rows, columns), (dy, dx) = shape, spacing_mm
    return np.asarray(np.hypot(fft.fftfreq(rows, dy)[:, None], fft.rfftfreq(columns, dx)[None]), dtype=np.float64)


class KernelMatched:
    """Slices given another kernel, one by one; padding and metal pass through.

    Args:
        source: where slices come from.
        wanted: spectrum of a scan with that kernel.
        spacing_mm: of the source.
        strength: power of the filter's gain, 0 … 1.
    """

    def __init__(
        self, source: SliceSource, wanted: Spectrum, spacing_mm: tuple[float, float, float], strength: float
    ) -> None:
        self.shape, self.reach, self.per_slice = source.shape, source.reach, source.per_slice
        slices, rows, columns = source.shape
        sample = [source.read(k, k + 1)[0] for k in spread_indices(slices, SAMPLE_SLICES)]
        response = kernel_response(radial_spectrum(sample, spacing_mm), wanted)
        self._padded = (rows + 2 * MARGIN, columns + 2 * MARGIN)
        self._source = source
        self._gain = (response(_radius(self._padded, spacing_mm[1:])) ** strength).astype(np.float32)

    def read(self, start: int, stop: int) -> Hu:
        """Filtered HU of slices start … stop-1."""
        hu = self._source.read(start, stop)
        edges = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
        known = np.pad(np.clip(hu, HU_MIN, HU_MAX), edges, mode="symmetric")
        change = fft.irfft2(fft.rfft2(known) * (self._gain - 1), s=self._padded)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        # As a scanner stores it: air that a sharp kernel takes below the scale would be read back as padding.
        filtered = np.clip(hu + change.astype(np.float32), HU_MIN, HU_MAX)
        return np.where((hu < HU_MIN) | (hu > HU_MAX), hu, filtered)
