"""The slices of a scan that its report shows, picked while the scan streams by, so that memory stays bounded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.geometry import Affine, VoxelGrid
from med_stylesr.inference.slices import SliceSource
from med_stylesr.volume import CTVolume

LIMIT: Final = 48
"""Slices of the input in a report: enough to scroll through, small enough for a page."""


class ReportSample:
    """Collects matching slices of input and result.

    At the input's slices, every n-th slice of the whole scan; with slices added in between, a run from its middle.

    Args:
        grid: voxels of the input.
        scale: factors (slice, row, column) of the result.
        limit: how many slices of the input.
    """

    def __init__(self, grid: VoxelGrid, scale: tuple[int, int, int], limit: int = LIMIT) -> None:
        total = grid.shape[0]
        self._grid, self._scale = grid, scale
        self._step = 1 if scale[0] > 1 else -(-total // limit)
        first = max(0, (total - limit) // 2) if scale[0] > 1 else 0
        self._wanted = list(range(first, total, self._step))[:limit]
        self._after: dict[int, NDArray[np.int16]] = {}
        self._spread: dict[int, NDArray[np.float16]] = {}

    def remember(self, start: int, hu: NDArray[Any], spread_hu: NDArray[np.float32] | None) -> None:
        """Take what is wanted of slices start … of the result, and of its uncertainty if there is one."""
        sz = self._scale[0]
        for k in self._wanted:
            for sub in range(k * sz, (k + 1) * sz):
                if start <= sub < start + len(hu):
                    self._after[sub] = np.rint(hu[sub - start]).astype(np.int16)
                    if spread_hu is not None:
                        self._spread[sub] = spread_hu[sub - start].astype(np.float16)

    def volumes(self, source: SliceSource) -> tuple[CTVolume, CTVolume]:
        """Input and result at the collected slices."""
        before = np.stack([np.rint(source.read(k, k + 1)[0]).astype(np.int16) for k in self._wanted])
        after = np.stack([self._after[k] for k in sorted(self._after)])
        first = self._wanted[0]
        fine = self._grid.super_resolved(self._scale)
        return (
            CTVolume(before, self._picked(self._grid, first)),
            CTVolume(after, self._picked(fine, first * self._scale[0])),
        )

    def uncertainty(self) -> CTVolume | None:
        """Uncertainty in HU at the collected slices of the result; None without one."""
        if not self._spread:
            return None
        spread = np.stack([self._spread[k] for k in sorted(self._spread)]).astype(np.float32)
        return CTVolume(spread, self._picked(self._grid.super_resolved(self._scale), self._wanted[0] * self._scale[0]))

    def _picked(self, grid: VoxelGrid, first: int) -> Affine:
        affine = grid.affine.copy()
        affine[:3, 3] = grid.positions((0, 0, first))
        affine[:3, 2] *= self._step
        return affine
