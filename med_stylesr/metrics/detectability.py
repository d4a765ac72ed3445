"""Would a lesion be seen? The non-prewhitening observer of TG-233 and a channelised Hotelling observer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special

from med_stylesr.metrics.regions import Roi
from med_stylesr.metrics.resolution import TransferFunction
from med_stylesr.metrics.texture import RadialProfile

VIEWING_DISTANCE_MM: Final = 475.0
DISPLAY_WIDTH_MM: Final = 305.0
TASK_DIAMETERS_MM: Final = (3.0, 5.0, 10.0)
TASK_CONTRASTS_HU: Final = (-10.0, 10.0, 50.0)


@dataclass(frozen=True)
class Task:
    """A lesion to detect.

    Attributes:
        diameter_mm: diameter of a disk, full width at half maximum of a Gaussian.
        contrast_hu: against its surroundings.
        shape: "disk" or "gaussian".
    """

    diameter_mm: float
    contrast_hu: float
    shape: Literal["disk", "gaussian"] = "disk"

    def spectrum(self, frequency_per_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fourier transform of the lesion, HU mm², at radial frequencies."""
        f = np.asarray(frequency_per_mm, dtype=np.float64)
        if self.shape == "gaussian":
            sigma = self.diameter_mm / (2 * np.sqrt(2 * np.log(2)))
            return np.asarray(self.contrast_hu * 2 * np.pi * sigma**2 * np.exp(-2 * (np.pi * sigma * f) ** 2))
        radius = self.diameter_mm / 2
        x = 2 * np.pi * radius * f
        jinc = np.divide(2 * special.j1(x), x, out=np.ones_like(x), where=x > 0)
        return np.asarray(self.contrast_hu * np.pi * radius**2 * jinc)

    def profile(self, radius_mm: NDArray[np.float64], blur_mm: float = 0.0) -> NDArray[np.float64]:
        """HU the lesion adds at a distance from its centre; `blur_mm` is the scanner's Gaussian blur (sigma)."""
        if self.shape == "gaussian":
            own = self.diameter_mm / (2 * np.sqrt(2 * np.log(2)))
            wide = own**2 + blur_mm**2
            return np.asarray(self.contrast_hu * own**2 / wide * np.exp(-(radius_mm**2) / (2 * wide)))
        if blur_mm == 0:
            return np.asarray(self.contrast_hu * (radius_mm <= self.diameter_mm / 2))
        edge = (radius_mm - self.diameter_mm / 2) / (np.sqrt(2) * blur_mm)
        return np.asarray(self.contrast_hu * special.erfc(edge) / 2)


def eye_filter(frequency_per_mm: NDArray[np.float64], *, field_of_view_mm: float) -> NDArray[np.float64]:
    """Human contrast sensitivity η(ρ) = ρ^1.5 · exp(−0.98 ρ^0.68), ρ in cycles a degree, for a scan shown screen-wide.

    Args:
        frequency_per_mm: in the patient, 1/mm.
        field_of_view_mm: width of the image that fills the display.

    Source:
        Saunders & Samei, Med Phys 33 (2006) 308, doi:10.1118/1.2150777; as used in TG-233, doi:10.1002/mp.13763.
    """
    zoom = field_of_view_mm / DISPLAY_WIDTH_MM
    rho = np.asarray(frequency_per_mm) * zoom * VIEWING_DISTANCE_MM * np.pi / 180
    return np.asarray(rho**1.5 * np.exp(-0.98 * rho**0.68))


def npw_detectability(
    task: Task, ttf: TransferFunction, nps: RadialProfile, *, field_of_view_mm: float | None
) -> float:
    """Detectability index d′ of the non-prewhitening observer, with eye filter unless `field_of_view_mm` is None.

    d′² = [∬ |W|²·TTF²·E² df]² / ∬ |W|²·TTF²·NPS·E⁴ df, with ∬ = 2π ∫ f df for radial functions.

    Source:
        AAPM TG-233, doi:10.1002/mp.13763, section on d′; Burgess, J Opt Soc Am A 11 (1994) 1237,
        doi:10.1364/JOSAA.11.001237.
    """
    f = np.linspace(0, float(nps.frequency_per_mm[-1]), 2000)[1:]
    signal = task.spectrum(f) ** 2 * np.interp(f, ttf.frequency_per_mm, ttf.value, right=0.0) ** 2
    noise = np.interp(f, nps.frequency_per_mm, nps.power)
    eye = np.ones_like(f) if field_of_view_mm is None else eye_filter(f, field_of_view_mm=field_of_view_mm)
    above = 2 * np.pi * integrate.trapezoid(f * signal * eye**2, f)
    below = 2 * np.pi * integrate.trapezoid(f * signal * noise * eye**4, f)
    return float(above / np.sqrt(below)) if below > 0 else float("inf")


@dataclass(frozen=True)
class ObserverResult:
    """Outcome of a model observer.

    Attributes:
        d_prime: separation of the test statistics in standard deviations.
        auc: area under the ROC curve.
        auc_low: lower end of its 95 % interval.
        auc_high: upper end.
        pairs: image pairs used for testing.
    """

    d_prime: float
    auc: float
    auc_low: float
    auc_high: float
    pairs: int


def insert_lesions(
    hu: NDArray[Any], rois: Sequence[Roi], pixel_mm: tuple[float, float], task: Task, *, blur_mm: float
) -> NDArray[np.float32]:
    """Copy of a scan with one lesion in the middle of every region.

    Process both the copy and the scan, cut the regions out of both results and hand them to `hotelling_observer`: that
    tells what processing, at a given strength, does to the lesion.

    Args:
        hu: HU, shape (slices, rows, columns).
        rois: where; from `regions.flat_rois`.
        pixel_mm: row and column spacing.
        task: the lesion.
        blur_mm: standard deviation of the scan's own blur, so that the lesion is no sharper than its surroundings.
    """
    changed = hu.astype(np.float32, copy=True)
    for roi in rois:
        offset = np.arange(roi.size) - (roi.size - 1) / 2
        radius = np.hypot(offset[:, None] * pixel_mm[0], offset[None] * pixel_mm[1])
        box = (roi.slice, slice(roi.row, roi.row + roi.size), slice(roi.column, roi.column + roi.size))
        changed[box] += task.profile(radius, blur_mm).astype(np.float32)
    return changed


def hotelling_observer(
    present: NDArray[Any], absent: NDArray[Any], pixel_mm: float, *, seed: int = 0, resamples: int = 1000
) -> ObserverResult:
    """Channelised Hotelling observer, signal known exactly, trained on one half of the pairs and tested on the other.

    Ten dense difference-of-Gaussians channels; halves are then exchanged and both test results pooled.

    Args:
        present: regions with the lesion in the middle, HU, shape (n, rows, columns).
        absent: regions without it, same shape. At least 200 pairs for an interval worth printing.
        pixel_mm: pixel spacing.
        seed: for the split and the bootstrap.
        resamples: bootstrap samples.

    Raises:
        ValueError: for fewer than 60 pairs: the ten channels' covariance could not be learned.

    Source:
        Abbey & Barrett, J Opt Soc Am A 18 (2001) 473, doi:10.1364/JOSAA.18.000473 (channels);
        Myers & Barrett, J Opt Soc Am A 4 (1987) 2447, doi:10.1364/JOSAA.4.002447 (observer).
    """
    n = present.shape[0]
    if n < 60 or present.shape != absent.shape:
        raise ValueError("the observer needs at least 60 pairs of equally shaped regions")
    channels = _difference_of_gaussians((present.shape[1], present.shape[2]), pixel_mm)
    responses = [np.asarray(x, dtype=np.float64).reshape(n, -1) @ channels for x in (present, absent)]
    rng = np.random.default_rng(seed)
    halves = np.array_split(rng.permutation(n), 2)
    scores = [np.empty(n), np.empty(n)]
    separations = []
    for train, test in (halves, halves[::-1]):
        covariance = (np.cov(responses[0][train].T) + np.cov(responses[1][train].T)) / 2
        template = np.linalg.solve(covariance, (responses[0][train] - responses[1][train]).mean(axis=0))
        s, b = (r[test] @ template for r in responses)
        scale = np.sqrt((s.var(ddof=1) + b.var(ddof=1)) / 2)
        separations.append((s.mean() - b.mean()) / scale)
        scores[0][test], scores[1][test] = s / scale, b / scale
    draws = []
    for _ in range(resamples):
        # Resample within halves: their scores carry different offsets only through their templates.
        picked = [half[rng.integers(0, half.size, half.size)] for half in halves]
        draws.append(float(np.mean([_auc(scores[0][p], scores[1][p]) for p in picked])))
    auc = float(np.mean([_auc(scores[0][h], scores[1][h]) for h in halves]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return ObserverResult(float(np.mean(separations)), auc, float(low), float(high), n)


def _auc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """Probability that a lesion scores above its absence (Wilcoxon–Mann–Whitney)."""
    order = np.sort(absent)
    below = np.searchsorted(order, present, "left") + np.searchsorted(order, present, "right")
    return float(below.mean() / (2 * absent.size))


def _difference_of_gaussians(shape: tuple[int, int], pixel_mm: float) -> NDArray[np.float64]:
    """Ten dense difference-of-Gaussians channels as columns, in the image domain."""
    fy, fx = (np.fft.fftfreq(n, pixel_mm) for n in shape)
    f = np.hypot(fy[:, None], fx[None])
    first, growth, ratio, count = 0.005 / pixel_mm, 1.4, 1.67, 10
    columns = []
    for index in range(count):
        sigma = first * growth**index
        passband = np.exp(-0.5 * (f / (ratio * sigma)) ** 2) - np.exp(-0.5 * (f / sigma) ** 2)
        # Centre on the middle of the region, between pixels for even sizes.
        shift = np.exp(-2j * np.pi * pixel_mm * (fy[:, None] * (shape[0] - 1) / 2 + fx[None] * (shape[1] - 1) / 2))
        columns.append(np.fft.ifft2(passband * shift).real.ravel())
    return np.stack(columns, axis=1)
