"""Classical interpolation onto finer grids of the same field of view; kernel matching by Gaussian or unsharp mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Hu = NDArray[np.float32]


def averaged(hu: NDArray[Any], factors: tuple[int, int, int]) -> Hu:
    """Block means: what slices or pixels `factors` times as large would have shown; incomplete blocks are dropped."""
    a, b, c = factors
    d, h, w = (n // f for n, f in zip(hu.shape, factors, strict=True))
    blocks = hu[: d * a, : h * b, : w * c].reshape(d, a, h, b, w, c)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)


def b_spline(hu: NDArray[Any], factors: tuple[int, int, int], order: int = 3) -> Hu:
    """Interpolating B-spline (order 3 cubic, 1 linear) at the centres of the smaller voxels.

    Source: Unser, IEEE Signal Process Mag 16 (1999) 22, doi:10.1109/79.799930 (scipy.ndimage).
    """
    done = ndimage.zoom(hu.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True)
    return np.asarray(done, dtype=np.float32)


def lanczos(hu: NDArray[Any], factor: int) -> Hu:
    """Windowed sinc of three lobes, in plane (Pillow's resampling).

    Source: Duchon, J Appl Meteorol 18 (1979) 1016, doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2.
    """
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in hu]
    size = (hu.shape[2] * factor, hu.shape[1] * factor)
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.LANCZOS)) for plane in planes])


def gaussian_match(hu: NDArray[Any], width: float) -> Hu:
    """Sharp to soft kernel: a Gaussian of `width` pixels in plane."""
    return np.asarray(ndimage.gaussian_filter(hu.astype(np.float32), (0, width, width)))


def unsharp_match(hu: NDArray[Any], width: float, amount: float) -> Hu:
    """Soft to sharp kernel: x + amount · (x − Gaussian of x)."""
    return np.asarray(hu + amount * (hu - gaussian_match(hu, width)), dtype=np.float32)
