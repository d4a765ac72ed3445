"""Noise of a scan and what a correction leaves of it, measured so that anatomy does not count.

In real anatomy even the flattest region holds structure, which adds to every standard deviation. A denoiser that takes
away c = −g·n of the noise n, and no structure, tells them apart: with moments over flat regions

    σ² = cov(x, c)² / var(c),        σ'(s)² = σ² + 2 s·cov(x, c') + s²·var(c')

are the variance of the noise of x, and of what is left when s·c' is added. Where c takes away frequencies unequally the
first is a lower bound (Cauchy-Schwarz), close for the noise levels of low-dose scans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from med_stylesr.hu import TissueRange
from med_stylesr.metrics.regions import Roi, flat_rois
from med_stylesr.metrics.texture import noise_power_spectrum

REGION_MM: Final = 12.0
"""Edge of a region: holds the grain of soft kernels, fits between organs."""
REGIONS: Final = 32
TISSUES: Final = (TissueRange(-20, 150), TissueRange(-130, 180))
"""Where flat regions are looked for: organs and muscle, then fat too (chests have little else)."""
_FEWEST: Final = 4
_NOTHING_HU2: Final = 1e-6
"""Variance that rounding leaves."""


@dataclass(frozen=True)
class NoiseModel:
    """Noise of some sample slices.

    Attributes:
        noise_hu: standard deviation of the noise in flat soft tissue.
        correlation: of what was removed with all that varies there, 0 … 1; 1 where the scan holds nothing but noise
            and a share of it went, near 0 where the change has nothing to do with the scan's noise.
    """

    noise_hu: float
    correlation: float
    _image: NDArray[Any]
    _regions: Sequence[Roi]
    _spacing_mm: tuple[float, float, float]

    @classmethod
    def fit(
        cls, image: NDArray[Any], removed: NDArray[Any], spacing_mm: tuple[float, float, float]
    ) -> NoiseModel | None:
        """Measure the noise of an image by what a denoiser removes from it; None without flat tissue.

        Args:
            image: HU (slices, rows, columns).
            removed: the denoiser's full correction, same shape.
            spacing_mm: voxel spacing (slice, row, column).
        """
        for tissue in TISSUES:
            regions = flat_rois(image, spacing_mm, size_mm=REGION_MM, count=REGIONS, tissue=tissue)
            if len(regions) >= _FEWEST:
                break
        else:
            return None
        model = cls(0.0, 0.0, image, regions, spacing_mm)
        covariance, variance = model._moments(removed)
        total = model._power(image)
        if min(variance, total) <= _NOTHING_HU2:
            return model
        noise = max(-covariance / math.sqrt(variance), 0.0)
        return cls(noise, min(noise / math.sqrt(total), 1.0), image, regions, spacing_mm)

    def left_by(self, correction: NDArray[Any]) -> Callable[[float], float]:
        """Noise in HU of image + s·correction, as a function of s."""
        covariance, variance = self._moments(correction)

        def left(s: float) -> float:
            return math.sqrt(max(self.noise_hu**2 + 2 * s * covariance + s**2 * variance, 0.0))

        return left

    def _moments(self, correction: NDArray[Any]) -> tuple[float, float]:
        """Covariance with the image, and variance, of a correction over the detrended regions."""
        plus, minus = self._power(self._image + correction), self._power(self._image - correction)
        return (plus - minus) / 4, self._power(correction)

    def _power(self, image: NDArray[Any]) -> float:
        cuts = [region.cut(image) for region in self._regions]
        return noise_power_spectrum(cuts, self._spacing_mm[1:]).noise_sd_hu ** 2
