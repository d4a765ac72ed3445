"""Fidelity beyond PSNR: MS-SSIM, visual information fidelity, gradient magnitude similarity, edge preservation.

All of them see HU clipped by a convention and scaled to 0–255, the range their constants were made for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.metrics.fidelity import Convention

MS_SSIM_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
VIF_NOISE: Final = 2.0
"""Variance of the visual noise in VIF, for a range of 0–255."""
GMSD_CONSTANT: Final = 170.0
"""Stabiliser of the gradient similarity, for a range of 0–255."""

_Image = NDArray[np.float64]


def perceptual(pred: NDArray[Any], reference: NDArray[Any], convention: Convention) -> dict[str, float]:
    """All four figures of one slice.

    Args:
        pred: HU, shape (rows, columns), each at least 176.
        reference: HU of the same shape.
        convention: a clipped one; its `data_range` becomes 0–255.

    Returns:
        ms_ssim (1 is best), vif (1 is best; more than 1 where contrast was raised), gmsd (0 is best),
        edge_preservation (1 is best). MS-SSIM is NaN for smaller slices.
    """
    x, y = (scaled(image, convention) for image in (pred, reference))
    return {
        "ms_ssim": ms_ssim(x, y),
        "vif": vif(x, y),
        "gmsd": gmsd(x, y),
        "edge_preservation": edge_preservation(x, y),
    }


def scaled(hu: NDArray[Any], convention: Convention) -> _Image:
    """HU clipped by a convention, as 0–255."""
    low = convention.low if np.isfinite(convention.low) else -1024.0
    return (convention.apply(hu) - low) * (255 / convention.data_range)


def ms_ssim(x: _Image, y: _Image) -> float:
    """Multi-scale structural similarity, five scales; NaN if the smallest would not hold the window.

    Source:
        Wang, Simoncelli & Bovik 2003, doi:10.1109/ACSSC.2003.1292216.
    """
    if min(x.shape) < 11 * 2 ** (len(MS_SSIM_WEIGHTS) - 1):
        return float("nan")
    product = 1.0
    blur = _gaussian(11, 1.5)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        mx, my, vx, vy, cov = _moments(x, y, blur)
        contrast = (2 * cov + (0.03 * 255) ** 2) / (vx + vy + (0.03 * 255) ** 2)
        if scale == len(MS_SSIM_WEIGHTS) - 1:
            contrast = contrast * (2 * mx * my + (0.01 * 255) ** 2) / (mx**2 + my**2 + (0.01 * 255) ** 2)
        product *= max(float(contrast.mean()), 0.0) ** weight
        x, y = _halved(x), _halved(y)
    return product


def vif(x: _Image, y: _Image) -> float:
    """Visual information fidelity in the pixel domain, of `x` against the reference `y`.

    Source:
        Sheikh & Bovik 2006, doi:10.1109/TIP.2005.859378.
    """
    above = below = 0.0
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        blur = _gaussian(size, size / 5)
        if scale:
            x, y = (blur(image)[::2, ::2] for image in (x, y))
        if min(x.shape) < size:
            break
        _, _, vx, vy, cov = _moments(x, y, blur)
        vx, vy = np.maximum(vx, 0), np.maximum(vy, 0)
        gain = cov / (vy + 1e-10)
        rest = vx - gain * cov
        flat_reference, flat_image = vy < 1e-10, vx < 1e-10
        gain[flat_reference], rest[flat_reference] = 0, vx[flat_reference]
        gain[flat_image], rest[flat_image] = 0, 0
        negative = gain < 0
        rest[negative], gain[negative] = vx[negative], 0
        rest = np.maximum(rest, 1e-10)
        vy = np.where(flat_reference, 0, vy)
        above += float(np.log10(1 + gain**2 * vy / (rest + VIF_NOISE)).sum())
        below += float(np.log10(1 + vy / VIF_NOISE).sum())
    return above / below if below > 0 else 1.0


def gmsd(x: _Image, y: _Image) -> float:
    """Gradient magnitude similarity deviation; 0 for equal images, larger is worse.

    Source:
        Xue et al. 2014, doi:10.1109/TIP.2013.2293423.
    """
    magnitudes = []
    for image in (_halved(x), _halved(y)):
        across, down = (ndimage.prewitt(image, axis) / 3 for axis in (1, 0))
        magnitudes.append(np.hypot(across, down))
    a, b = magnitudes
    similarity = (2 * a * b + GMSD_CONSTANT) / (a**2 + b**2 + GMSD_CONSTANT)
    return float(similarity.std())


def edge_preservation(x: _Image, y: _Image) -> float:
    """Edge preservation index: correlation of both images' Laplacians; 1 is best.

    Source:
        Sattar et al. 1997, doi:10.1109/83.585239.
    """
    a, b = (ndimage.laplace(image) for image in (x, y))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def _gaussian(size: int, sigma: float) -> Callable[[_Image], _Image]:
    """Separable Gaussian over `size` taps, of which only fully covered pixels are kept."""
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    edge = size // 2

    def blur(image: _Image) -> _Image:
        smooth = ndimage.correlate1d(ndimage.correlate1d(image, taps, axis=0), taps, axis=1)
        return np.asarray(smooth[edge:-edge, edge:-edge], dtype=np.float64)

    return blur


def _moments(x: _Image, y: _Image, blur: Callable[[_Image], _Image]) -> tuple[_Image, _Image, _Image, _Image, _Image]:
    """Local means, variances and covariance."""
    mx, my = blur(x), blur(y)
    return mx, my, blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my


def _halved(image: _Image) -> _Image:
    """Means of 2 × 2 pixels."""
    rows, columns = (n // 2 * 2 for n in image.shape)
    blocks = image[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float64)
