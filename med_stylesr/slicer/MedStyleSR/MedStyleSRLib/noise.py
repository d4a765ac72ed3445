"""Noise at any strength from the engine's two measurements, and the tissue shifts beside it.

With σ₀ and σ₁ the noise before and after a correction c, and V its variance in flat tissue, a share s of it leaves

    σ(s)² = (1 − s) σ₀² + s σ₁² − s (1 − s) V,

which is exact at both ends. V is measured here, σ₀ and σ₁ come from the engine.
"""

import math

import numpy as np

PATCH = 16
"""Edge of a flat piece in pixels of the input."""
PATCHES = 32
SAMPLES = 12
"""Slices that are looked at."""
SOFT_TISSUE_HU = (-20.0, 150.0)
_BLOCK = 4


def correction_variance(base, full, factors):
    """Variance of the correction in flat soft tissue, HU², or None where there is none.

    Args:
        base: HU at strength 0, (slices, rows, columns).
        full: HU of the result on the same grid.
        factors: super-resolution factors; noise is told at the resolution of the input.
    """
    between, rows, columns = factors
    slices = base.shape[0] // between
    found = []
    for number in sorted({int(k) for k in np.linspace(0, slices - 1, min(slices, SAMPLES)).round()}):
        span = slice(number * between, (number + 1) * between)
        before = _coarse(base[span].astype(np.float32).mean(axis=0), rows, columns)
        change = _coarse((full[span].astype(np.float32) - base[span]).mean(axis=0), rows, columns)
        if min(before.shape) < PATCH:
            return None
        found += _flat(before, change)
    found.sort(key=lambda pair: pair[0])
    return float(np.mean([variance for _flatness, variance in found[:PATCHES]])) if found else None


def noise_at(share, before, after, variance):
    """Noise in HU at a share of the correction; None where the engine could not measure any."""
    if before is None or after is None:
        return None
    spread = 0.0 if variance is None else share * (1 - share) * variance
    return math.sqrt(max((1 - share) * before**2 + share * after**2 - spread, 0.0))


def _coarse(plane, rows, columns):
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    return plane[: height * rows, : width * columns].reshape(height, rows, width, columns).mean(axis=(1, 3))


def _flat(before, change):
    """(Flatness, variance of the change) of the patches of a slice that lie in soft tissue."""
    rows, columns = (n // PATCH for n in before.shape)
    cut = before[: rows * PATCH, : columns * PATCH]
    blocks = cut.reshape(rows, PATCH // _BLOCK, _BLOCK, columns, PATCH // _BLOCK, _BLOCK).mean(axis=(2, 5))
    low, high, spread = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3)), blocks.std(axis=(1, 3))
    pieces = []
    for row, column in zip(*np.nonzero((low >= SOFT_TISSUE_HU[0]) & (high <= SOFT_TISSUE_HU[1]))):
        piece = change[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        pieces.append((float(spread[row, column]), float(_detrended(piece).var())))
    return pieces


def _detrended(piece):
    """The piece without its plane: what is left is noise rather than a slope of the anatomy."""
    axis = np.arange(PATCH) - (PATCH - 1) / 2
    flat = piece - piece.mean()
    norm = (axis**2).sum() * PATCH
    for direction in (axis[:, None], axis[None, :]):
        flat = flat - direction * (flat * direction).sum() / norm
    return flat
