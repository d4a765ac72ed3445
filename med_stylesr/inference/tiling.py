"""Cutting slices into bands of rows and scans into slabs, with halos so wide that no seam can be seen or measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HALO: Final = 192
"""Rows read beyond a band on either side: more than the network's receptive field, and most of the HU lock's reach."""
ALIGNMENT: Final = 32
"""Bands start at multiples of the HU lock's cell (in pixels of the slice), so that its grid is that of the whole."""
VOXELS_PER_SLAB: Final = 9_500_000
"""Voxels of a slab with its halo, 36 slices of 512 x 512: the shipped network takes 1.4 GB for them."""
LEAST_SLAB: Final = 8
"""Slices kept of a slab, however large they are."""


@dataclass(frozen=True)
class Band:
    """Rows start … stop-1 are kept of a run over rows read_start … read_stop-1."""

    start: int
    stop: int
    read_start: int
    read_stop: int


def bands(rows: int, columns: int, pixels: int) -> list[Band]:
    """Split `rows` rows so that a run, halo included, stays near `pixels` pixels; one band if all fit.

    A band never gets smaller than its halo: beyond that, memory follows the width of the slice.
    """
    if rows * columns <= pixels:
        return [Band(0, rows, 0, rows)]
    height = max(HALO, pixels // columns - 2 * HALO)
    height = -(-height // ALIGNMENT) * ALIGNMENT
    return [
        Band(start, min(start + height, rows), max(start - HALO, 0), min(start + height + HALO, rows))
        for start in range(0, rows, height)
    ]


def slab_slices(rows: int, columns: int, halo: int) -> int:
    """Slices to keep of each slab: as many as memory allows, since the halo on either side is work for nothing.

    Args:
        rows: of a slice.
        columns: of a slice.
        halo: slices run beyond a slab on either side.
    """
    return max(LEAST_SLAB, VOXELS_PER_SLAB // (rows * columns) - 2 * halo)
