"""Variety for cached pairs: other realisations, other kernels and other pixel sizes than those that were simulated.

All three act on image and inserted noise alike and are linear, as reconstruction is. So the pair stays a pair: the
noise keeps its place in the image, and whatever share of it a style's target keeps can still be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch.nn import functional

Array = NDArray[np.float32]

Response = tuple[float, float, float]
"""Change of a kernel: half-way frequency of the roll-off in cycles per pixel, its steepness, edge enhancement."""
MARGIN: Final = 12
"""Pixels on every side that filtering in the Fourier domain spoils (it wraps around) and that are cut off after it."""


@dataclass(frozen=True)
class Variety:
    """How much pairs are varied.

    Attributes:
        mix: probability that noise is a mixture of all stored draws instead of one of them. Independent draws with
            weights whose squares sum to one make a new draw of the same strength.
        refilter: probability of a change of kernel.
        f50_px: range of the roll-off's half-way frequency in cycles per pixel, drawn evenly in log; soft kernels make
            noise coarse, and noise coarser than in training is hardly removed.
        boost: largest edge enhancement, drawn from 0 up; only with roll-offs above 0.3 cycles per pixel.
        magnify: probability of smaller pixels.
        largest: largest magnification.
        halve: probability of pixels twice as large, by averaging. Magnified and halved exclude each other.
        own: largest noise added to the scan's own, as a share of it; drawn evenly from 0. Without it a network learns
            which scan it sees and so at which dose, and misjudges scans it does not know.
        thicken: probability of thicker slices, by averaging; that makes quiet scans.
        thickest_mm: largest thickness so made.
    """

    mix: float = 0.0
    refilter: float = 0.0
    f50_px: tuple[float, float] = (0.12, 0.8)
    boost: float = 1.0
    magnify: float = 0.0
    largest: float = 1.7
    halve: float = 0.0
    own: float = 0.0
    thicken: float = 0.0
    thickest_mm: float = 6.0


def mixture(rng: np.random.Generator, draws: int, probability: float) -> NDArray[np.float64]:
    """Weights of stored draws, (draws,): their squares sum to one; one of them alone unless mixed."""
    if rng.random() < probability:
        weights = rng.standard_normal(draws)
        return np.asarray(weights / np.linalg.norm(weights))
    return np.eye(draws)[int(rng.integers(draws))]


def another(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a mixture that is independent of one with `weights`: orthogonal to them, squares sum to one."""
    other = rng.standard_normal(len(weights))
    other = other - (other @ weights) * weights
    return np.asarray(other / np.linalg.norm(other))


def random_thickness(rng: np.random.Generator, variety: Variety, spacing_mm: float) -> int:
    """How many slices make one: 1, or more as long as they stay within `thickest_mm`."""
    most = int(variety.thickest_mm // spacing_mm)
    if rng.random() >= variety.thicken or most < 2:
        return 1
    return int(rng.integers(2, most + 1))


def random_response(rng: np.random.Generator, variety: Variety) -> Response | None:
    """Random change of kernel; None for no change."""
    if rng.random() >= variety.refilter:
        return None
    low, high = np.log(variety.f50_px)
    f50 = float(np.exp(rng.uniform(low, high)))
    return f50, float(rng.uniform(1.5, 3.0)), float(rng.uniform(0, variety.boost)) if f50 > 0.3 else 0.0


def refilter(x: Array, f50_px: float, order: float, boost: float) -> Array:
    """Change the kernel: multiply the spectrum by (1 + boost (f / f50)²) 2^(−(f / f50)^order), 1 at f = 0.

    Args:
        x: (…, rows, columns); the filter wraps around, `MARGIN` pixels on every side are not to be used.
        f50_px: frequency at which the roll-off has halved, cycles per pixel.
        order: its steepness, 2 is Gaussian.
        boost: edge enhancement.

    Returns:
        Array of the same shape.
    """
    rows, columns = x.shape[-2:]
    ratio = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None]) / f50_px
    response = ((1 + boost * ratio**2) * 2.0 ** -(ratio**order)).astype(np.float32)
    return np.asarray(fft.irfft2(fft.rfft2(x) * response, s=(rows, columns)), dtype=np.float32)


def random_zoom(rng: np.random.Generator, variety: Variety) -> float:
    """Factor on the pixel density: above 1 magnifies, 0.5 halves, 1 leaves alone."""
    chance = rng.random()
    if chance < variety.halve:
        return 0.5
    if chance < variety.halve + variety.magnify:
        return float(np.exp(rng.uniform(math.log(1.05), math.log(variety.largest))))
    return 1.0


def source_size(wanted: int, zoom: float) -> int:
    """Pixels along one axis that `zoomed` needs to give `wanted`, without margins."""
    return wanted if zoom == 1.0 else math.ceil(wanted / zoom)


def zoomed(x: Array, zoom: float, size: Sequence[int]) -> Array:
    """Resample to `size`: block means for larger pixels (as a detector sums), cubic interpolation for smaller ones.

    Args:
        x: (planes, rows, columns), rows and columns as `source_size` says.
        zoom: from `random_zoom`.
        size: rows and columns of the result.
    """
    if zoom == 1.0:
        return x
    planes = torch.from_numpy(np.ascontiguousarray(x))[None]
    if zoom < 1.0:
        return np.asarray(functional.avg_pool2d(planes, round(1 / zoom))[0].numpy())
    whole = functional.interpolate(planes, scale_factor=zoom, mode="bicubic", align_corners=False)
    return np.asarray(whole[0, :, : size[0], : size[1]].numpy())
