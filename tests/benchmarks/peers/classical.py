"""Classical filters, each with one parameter in units of the scan's noise, which is measured on the image itself.

A parameter in HU would fit one dose and one kernel only; in units of the noise, one value serves all scans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.metrics.texture import noise_sd

Hu = NDArray[np.float32]
FALLBACK_NOISE_HU: Final = 20.0
"""For slices without soft tissue to measure noise in."""


@dataclass(frozen=True)
class Filter:
    """A family of filters.

    Attributes:
        apply: (slice in HU, noise in HU, parameter) to the filtered slice.
        parameters: values tried in tuning.
        meaning: of the parameter.
    """

    apply: Callable[[NDArray[Any], float, float], NDArray[Any]]
    parameters: Sequence[float]
    meaning: str


def noise_hu(low: NDArray[Any], spacing_mm: tuple[float, float, float]) -> float:
    """Noise of some slices in HU, measured without a reference."""
    try:
        return noise_sd(low, spacing_mm)
    except ValueError:
        return FALLBACK_NOISE_HU


def filtered(family: Filter, parameter: float, low: Hu, spacing_mm: tuple[float, float, float]) -> Hu:
    """Filter every slice of (slices, rows, columns)."""
    noise = noise_hu(low, spacing_mm)
    return np.stack([family.apply(plane, noise, parameter) for plane in low]).astype(np.float32)


def gaussian(plane: NDArray[Any], noise: float, width: float) -> NDArray[Any]:
    """Gaussian whose standard deviation is `width` pixels at 20 HU of noise and grows with its root."""
    return np.asarray(ndimage.gaussian_filter(plane, width * (noise / 20.0) ** 0.5))


def bilateral(plane: NDArray[Any], noise: float, ratio: float) -> NDArray[Any]:
    """Bilateral filter. Source: Tomasi & Manduchi 1998, doi:10.1109/ICCV.1998.710815 (scikit-image)."""
    from skimage.restoration import denoise_bilateral

    # Its table of weights spans the image's range: bins finer than the noise need a bounded range.
    low = float(plane.min())
    scale = float(plane.max()) - low
    unit = (plane.astype(np.float64) - low) / scale
    done = denoise_bilateral(
        unit, win_size=7, sigma_color=ratio * noise / scale, sigma_spatial=1.5, bins=20000, mode="edge"
    )
    return np.asarray(done) * scale + low


def total_variation(plane: NDArray[Any], noise: float, ratio: float) -> NDArray[Any]:
    """Total variation. Source: Chambolle 2004, doi:10.1023/B:JMIV.0000011325.36760.1e (scikit-image)."""
    from skimage.restoration import denoise_tv_chambolle

    return np.asarray(denoise_tv_chambolle(plane.astype(np.float64), weight=ratio * noise, max_num_iter=60))


def nl_means(plane: NDArray[Any], noise: float, ratio: float) -> NDArray[Any]:
    """Non-local means. Source: Buades et al. 2005, doi:10.1109/CVPR.2005.38 (scikit-image, fast mode)."""
    from skimage.restoration import denoise_nl_means

    plane = plane.astype(np.float32)
    return np.asarray(denoise_nl_means(plane, patch_size=5, patch_distance=6, h=ratio * noise, fast_mode=True))


def bm3d(plane: NDArray[Any], noise: float, ratio: float) -> NDArray[Any]:
    """BM3D. Source: Dabov et al. 2007, doi:10.1109/TIP.2007.901238 (the authors' package; not for commercial use)."""
    import bm3d as package

    return np.asarray(package.bm3d(plane.astype(np.float64), ratio * noise))


FILTERS: Final[Mapping[str, Filter]] = {
    "gaussian": Filter(gaussian, (0.3, 0.45, 0.6, 0.8, 1.1), "width in pixels at 20 HU"),
    "bilateral": Filter(bilateral, (0.5, 0.75, 1.0, 1.5), "range over noise"),
    "tv": Filter(total_variation, (0.3, 0.6, 1.0, 1.5), "weight over noise"),
    "nlm": Filter(nl_means, (0.5, 0.7, 1.0, 1.4), "strength over noise"),
    "bm3d": Filter(bm3d, (1.0, 1.4, 2.0, 2.8), "assumed over measured noise"),
}
KEPT_NOISE: Final = 0.25
"""Share of what NLM takes away that is given back for the texture of normal dose: a strong floor for that target."""
