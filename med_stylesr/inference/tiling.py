"""Cutting a slice into bands of rows, with a halo so wide that no seam can be seen or measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HALO: Final = 192
"""Rows read beyond a band on either side: more than the network's receptive field, and most of the HU lock's reach."""
ALIGNMENT: Final = 32
"""Bands start at multiples of the HU lock's cell (in pixels of the slice), so that its grid is that of the whole."""


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
