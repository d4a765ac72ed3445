"""Per-voxel uncertainty from several predictions of one scan, and a blend back to the input where it is high.

Needs numpy and scipy only: the enhancer calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NEIGHBOURHOOD_MM: Final = 1.0
"""Standard deviation of the in-plane Gaussian over which variance is averaged."""


def ensemble(predictions: Iterable[NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation over predictions of one scan, one prediction in memory at a time.

    Predictions differ by flips of the input, by style or by slab offset; what they disagree on, the input does not
    determine.

    Args:
        predictions: HU volumes of one shape, at least two.

    Returns:
        Mean HU and standard deviation in HU (n − 1), float32.

    Raises:
        ValueError: for fewer than two predictions or different shapes.

    Source:
        Welford, Technometrics 4 (1962) 419, doi:10.1080/00401706.1962.10490022 (one-pass variance).
    """
    count = 0
    mean = np.zeros(0)
    squares = np.zeros(0)
    for prediction in predictions:
        if count == 0:
            mean, squares = np.zeros(prediction.shape), np.zeros(prediction.shape)
        elif prediction.shape != mean.shape:
            raise ValueError(f"predictions of different shapes: {mean.shape} and {prediction.shape}")
        count += 1
        delta = prediction - mean
        mean += delta / count
        squares += delta * (prediction - mean)
    if count < 2:
        raise ValueError("uncertainty needs at least two predictions")
    return mean.astype(np.float32), np.sqrt(squares / (count - 1)).astype(np.float32)


def local_spread(sd_hu: NDArray[Any], spacing_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Standard deviation averaged, as variance, over the neighbourhood: a few predictions tell it too roughly a voxel.

    Args:
        sd_hu: standard deviation, shape (slices, rows, columns).
        spacing_mm: voxel spacing (slice, row, column).

    Returns:
        Standard deviation in HU, float32, same shape.
    """
    variance = sd_hu.astype(np.float32) ** 2
    sigma = (0, *(NEIGHBOURHOOD_MM / mm for mm in spacing_mm[1:]))
    return np.sqrt(np.maximum(ndimage.gaussian_filter(variance, sigma, mode="nearest"), 0)).astype(np.float32)


def trust(
    uncertainty_hu: NDArray[Any], spacing_mm: tuple[float, float, float], *, full_below_hu: float, none_above_hu: float
) -> NDArray[np.float32]:
    """Weight of the prediction: 1 where the uncertainty is low, 0 where it is high, smooth in between.

    Args:
        uncertainty_hu: standard deviation, shape (slices, rows, columns).
        spacing_mm: voxel spacing (slice, row, column).
        full_below_hu: uncertainty up to which the prediction is taken whole.
        none_above_hu: uncertainty from which the input is given back.

    Returns:
        Weights in [0, 1], float32. They are smoothed by 1 mm, so that no seam shows, and never exceed the raw weight's
        neighbourhood mean.

    Raises:
        ValueError: unless 0 ≤ full_below_hu < none_above_hu.
    """
    if not 0 <= full_below_hu < none_above_hu:
        raise ValueError("full_below_hu must be at least 0 and less than none_above_hu")
    raw = np.clip((none_above_hu - uncertainty_hu.astype(np.float32)) / (none_above_hu - full_below_hu), 0, 1)
    smooth = ndimage.gaussian_filter(raw, (0, *(1.0 / mm for mm in spacing_mm[1:])), mode="nearest")
    # Smoothing alone would let certain neighbours talk over an uncertain voxel.
    return np.asarray(np.minimum(raw, smooth), dtype=np.float32)


def blend_back(source: NDArray[Any], prediction: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.float32]:
    """Source + weight · (prediction − source): the prediction where it is trusted, the input where it is not.

    Args:
        source: HU of the input, on the grid of the prediction (interpolated for super-resolution).
        prediction: HU.
        weight: from `trust`, same shape.
    """
    base = source.astype(np.float32)
    blended: NDArray[np.float32] = base + weight.astype(np.float32) * (prediction.astype(np.float32) - base)
    return blended
