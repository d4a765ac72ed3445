"""Do HU move? Mean HU of each tissue class before and after, and the data of a Bland–Altman plot.

Needs numpy and scipy only: the enhancer checks its own output with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.regions import tissue_masks

BIAS_LIMIT_HU: Final = 1.0
"""Promised limit on the shift of a tissue class's mean HU."""
MIN_VOXELS: Final = 200
"""A class with fewer voxels than this is not reported: its mean would be noise."""


@dataclass(frozen=True)
class TissueShift:
    """Mean HU of one tissue class in two images over the same voxels.

    Attributes:
        voxels: size of the class.
        before_hu: mean in the first image.
        after_hu: mean in the second image.
        standard_error_hu: of the mean difference, from its spread over slices (NaN for a single slice).
    """

    voxels: int
    before_hu: float
    after_hu: float
    standard_error_hu: float

    @property
    def shift_hu(self) -> float:
        """Mean of after − before, HU."""
        return self.after_hu - self.before_hu


@dataclass(frozen=True)
class BlandAltman:
    """Mean difference and limits of agreement of paired values.

    Attributes:
        mean: (a + b) / 2 of every pair.
        difference: a − b of every pair.
        bias: mean difference.
        low: bias − 1.96 SD.
        high: bias + 1.96 SD.
    """

    mean: NDArray[np.float64]
    difference: NDArray[np.float64]
    bias: float
    low: float
    high: float


def tissue_shift(
    before: NDArray[Any],
    after: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    *,
    reference: NDArray[Any] | None = None,
) -> dict[str, TissueShift]:
    """Mean HU per tissue class before and after.

    Args:
        before: HU, shape (slices, rows, columns).
        after: HU on the same grid.
        spacing_mm: voxel spacing (slice, row, column).
        reference: image on which the classes are drawn (smoothed and eroded, see `regions.tissue_masks`): the
            normal-dose scan if there is one, `before` if left out.

    Returns:
        One entry a class that has at least `MIN_VOXELS` voxels.

    Raises:
        ValueError: if the shapes differ.
    """
    masks = tissue_masks(before if reference is None else reference, spacing_mm)
    return masked_shift(before, after, masks)


def masked_shift(
    before: NDArray[Any], after: NDArray[Any], masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, TissueShift]:
    """Like `tissue_shift`, over given masks.

    Raises:
        ValueError: if the shapes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"images on different grids: {before.shape} and {after.shape}")
    shifts: dict[str, TissueShift] = {}
    for name, mask in masks.items():
        count = mask.sum(axis=(1, 2))
        if count.sum() < MIN_VOXELS:
            continue
        sums = [
            np.array([plane[m].sum(dtype=np.float64) for plane, m in zip(x, mask, strict=True)])
            for x in (before, after)
        ]
        means = [float(s.sum() / count.sum()) for s in sums]
        used = count > 0
        per_slice = (sums[1] - sums[0])[used] / count[used]
        weight = count[used] / count.sum()
        n = int(used.sum())
        spread = (
            np.sqrt((weight**2 * (per_slice - (means[1] - means[0])) ** 2).sum() * n / (n - 1)) if n > 1 else np.nan
        )
        shifts[name] = TissueShift(int(count.sum()), means[0], means[1], float(spread))
    return shifts


def bland_altman(a: NDArray[Any], b: NDArray[Any]) -> BlandAltman:
    """Agreement of paired measurements.

    Raises:
        ValueError: if the lengths differ or there are fewer than two pairs.

    Source:
        Bland & Altman, Lancet 327 (1986) 307, doi:10.1016/S0140-6736(86)90837-8.
    """
    x, y = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if x.size != y.size or x.size < 2:
        raise ValueError("a Bland–Altman analysis needs two equally long series of at least two values")
    difference = x - y
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    return BlandAltman((x + y) / 2, difference, bias, bias - 1.96 * sd, bias + 1.96 * sd)
