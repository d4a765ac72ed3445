"""Distances between sets of images: Fréchet and kernel distances on given features, and match of style.

Features come from the caller (the package's CT feature network, not an ImageNet one): print these distances with the
name of the features, they compare with nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from med_stylesr.metrics.texture import RadialProfile


def frechet_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Fréchet distance of two sets of features taken as Gaussians: |μa−μb|² + tr(Σa + Σb − 2(ΣaΣb)^½).

    Args:
        a: features, shape (images, features). With fewer images than features the covariance is singular and the
            distance biased upwards; prefer `kernel_distance` then.
        b: likewise.

    Raises:
        ValueError: for fewer than two images in a set or different numbers of features.

    Source:
        Heusel et al. 2017, arXiv:1706.08500 (there on Inception features).
    """
    x, y = _sets(a, b)
    ca, cb = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    # tr (ΣaΣb)^½ = tr (Σa^½ Σb Σa^½)^½, which is symmetric and has real roots.
    values, vectors = linalg.eigh(ca)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(linalg.eigvalsh(root @ cb @ root), 0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * cross)


def kernel_distance(a: NDArray[Any], b: NDArray[Any], *, paired: bool = False) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (xᵀy/d + 1)³; about 0 for equal distributions.

    Args:
        a: features, shape (images, features).
        b: likewise.
        paired: image i of both sets shows the same place: such pairs are left out between the sets as they are within
            them, or the distance would be too small.

    Raises:
        ValueError: for fewer than two images in a set, different numbers of features, or pairs in sets of unequal size.

    Source:
        Bińkowski et al. 2018, arXiv:1801.01401 (kernel inception distance); Gretton et al., J Mach Learn Res 13 (2012)
        723, equation 4 (pairs).
    """
    x, y = _sets(a, b)
    if paired and len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} images are no pairs")

    def kernel(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((u @ v.T / u.shape[1] + 1) ** 3, dtype=np.float64)

    xx, yy = kernel(x, x), kernel(y, y)
    m, n = len(x), len(y)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    xy = kernel(x, y)
    between = (xy.sum() - np.trace(xy)) / (m * (m - 1)) if paired else xy.mean()
    return float(within - 2 * between)


def gram_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean squared difference of two Gram matrices, relative to the mean square of the reference's: 0 is equal style.

    Args:
        a: feature maps of the image, shape (features, positions…).
        b: feature maps of the style reference; positions may differ.

    Source:
        Gatys, Ecker & Bethge 2016, doi:10.1109/CVPR.2016.265.
    """
    grams = []
    for maps in (a, b):
        flat = np.asarray(maps, dtype=np.float64).reshape(maps.shape[0], -1)
        grams.append(flat @ flat.T / flat.shape[1])
    return float(((grams[0] - grams[1]) ** 2).mean() / (grams[1] ** 2).mean())


def nps_cosine(a: RadialProfile, b: RadialProfile) -> float:
    """Cosine of two radial noise power spectra on common frequencies: 1 for equal texture, whatever the dose."""
    limit = min(a.frequency_per_mm[-1], b.frequency_per_mm[-1])
    start = max(a.frequency_per_mm[0], b.frequency_per_mm[0])
    f = np.linspace(start, limit, 200)
    x, y = (np.interp(f, p.frequency_per_mm, p.power) for p in (a, b))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def _sets(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError("two sets of at least two feature vectors of one length are needed")
    return x, y
