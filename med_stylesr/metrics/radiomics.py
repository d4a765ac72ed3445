"""Radiomic features by the definitions of the Image Biomarker Standardisation Initiative (IBSI).

Those that enhancement studies report: intensity statistics, grey level co-occurrence (GLCM) and size zones (GLSZM), in
three dimensions with merged directions. No maintained package of a permissive licence installs on current Pythons.

Source:
    Zwanenburg et al., IBSI reference manual, arXiv:1612.07003; Radiology 295 (2020) 328, doi:10.1148/radiol.2020191145.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_DIRECTIONS = [(0, 0, 1), (0, 1, -1), (0, 1, 0), (0, 1, 1)] + [(1, j, i) for j in (-1, 0, 1) for i in (-1, 0, 1)]
"""The thirteen directions to 26 neighbours; the opposite ones are added by symmetry."""


def features(hu: NDArray[Any], mask: NDArray[np.bool_], *, bin_width_hu: float, lowest_hu: float) -> dict[str, float]:
    """All features of one region.

    Args:
        hu: HU, shape (slices, rows, columns).
        mask: the region, same shape, not empty.
        bin_width_hu: width of a grey level (IBSI fixed bin size).
        lowest_hu: lower end of the first level; HU below fall into it.

    Returns:
        Feature name (family_name, IBSI's terms) to value.

    Raises:
        ValueError: if the mask is empty.
    """
    if not mask.any():
        raise ValueError("radiomic features need a region that is not empty")
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = mask[box]
    levels = np.floor((hu[box].astype(np.float64) - lowest_hu) / bin_width_hu).astype(int) + 1
    levels = np.where(inside, np.maximum(levels, 1), 0)
    return {
        **{f"intensity_{k}": v for k, v in intensity(hu[box][inside]).items()},
        **{f"glcm_{k}": v for k, v in glcm(levels).items()},
        **{f"glszm_{k}": v for k, v in glszm(levels).items()},
    }


def intensity(values: NDArray[Any]) -> dict[str, float]:
    """Intensity-based statistics (IBSI family UHIW) of the values in a region."""
    x = np.asarray(values, dtype=np.float64).ravel()
    mean, variance = x.mean(), x.var()
    low, median, high = np.percentile(x, [10, 50, 90])
    quarter, three_quarters = np.percentile(x, [25, 75])
    robust = x[(x >= low) & (x <= high)]
    sd = np.sqrt(variance)
    return {
        "mean": float(mean),
        "variance": float(variance),
        "skewness": float(((x - mean) ** 3).mean() / sd**3) if sd > 0 else 0.0,
        "kurtosis": float(((x - mean) ** 4).mean() / variance**2 - 3) if sd > 0 else 0.0,
        "median": float(median),
        "percentile_10": float(low),
        "percentile_90": float(high),
        "interquartile_range": float(three_quarters - quarter),
        "mean_absolute_deviation": float(np.abs(x - mean).mean()),
        "robust_mean_absolute_deviation": float(np.abs(robust - robust.mean()).mean()),
        "energy": float((x**2).sum()),
        "root_mean_square": float(np.sqrt((x**2).mean())),
    }


def glcm(levels: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Grey level co-occurrence features (IBSI family LFYI), distance 1, all directions merged into one matrix.

    Args:
        levels: grey levels from 1, 0 outside the region, three axes.
    """
    top = int(levels.max())
    counts = np.zeros((top, top))
    for step in _DIRECTIONS:
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, levels.shape, strict=True))
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, levels.shape, strict=True))
        a, b = levels[here].ravel(), levels[there].ravel()
        both = (a > 0) & (b > 0)
        counts += np.bincount((a[both] - 1) * top + b[both] - 1, minlength=top * top).reshape(top, top)
    counts += counts.T
    if counts.sum() == 0:
        return {}
    p = counts / counts.sum()
    i, j = np.indices(p.shape) + 1.0
    marginal = p.sum(axis=1)
    grey = np.arange(1, top + 1)
    mean = float((grey * marginal).sum())
    variance = float(((grey - mean) ** 2 * marginal).sum())
    gap = np.abs(i - j)
    return {
        "joint_maximum": float(p.max()),
        "joint_average": mean,
        "joint_variance": variance,
        "joint_entropy": _entropy(p),
        "difference_average": float((gap * p).sum()),
        "contrast": float((gap**2 * p).sum()),
        "dissimilarity": float((gap * p).sum()),
        "inverse_difference": float((p / (1 + gap)).sum()),
        "inverse_difference_moment": float((p / (1 + gap**2)).sum()),
        "correlation": float((((i - mean) * (j - mean)) * p).sum() / variance) if variance > 0 else 1.0,
        "angular_second_moment": float((p**2).sum()),
        "cluster_shade": float(((i + j - 2 * mean) ** 3 * p).sum()),
    }


def glszm(levels: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Grey level size zone features (IBSI family 9SAK): connected (26 neighbours) zones of equal level.

    Args:
        levels: grey levels from 1, 0 outside the region, three axes.
    """
    neighbours = np.ones((3, 3, 3), dtype=bool)
    grey_list, size_list = [], []
    for level in np.unique(levels[levels > 0]):
        zones, count = ndimage.label(levels == level, neighbours)
        grey_list += [int(level)] * count
        size_list += np.bincount(zones.ravel())[1:].tolist()
    grey, size = np.array(grey_list, dtype=np.float64), np.array(size_list, dtype=np.float64)
    n = grey.size
    per_grey = np.unique(grey, return_counts=True)[1]
    per_size = np.unique(size, return_counts=True)[1]
    pairs = np.unique(np.stack([grey, size]), axis=1, return_counts=True)[1]
    return {
        "small_zone_emphasis": float((1 / size**2).mean()),
        "large_zone_emphasis": float((size**2).mean()),
        "low_grey_level_zone_emphasis": float((1 / grey**2).mean()),
        "high_grey_level_zone_emphasis": float((grey**2).mean()),
        "small_zone_low_grey_level_emphasis": float((1 / (grey**2 * size**2)).mean()),
        "grey_level_non_uniformity": float((per_grey**2).sum() / n),
        "zone_size_non_uniformity": float((per_size**2).sum() / n),
        "zone_percentage": float(n / (levels > 0).sum()),
        "grey_level_variance": float(grey.var()),
        "zone_size_variance": float(size.var()),
        "zone_size_entropy": _entropy(pairs / n),
    }


def _entropy(p: NDArray[Any]) -> float:
    used = p[p > 0]
    return float(-(used * np.log2(used)).sum())
