"""Two scans of one anatomy on a common set of positions, whatever their grids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.errors import InputError
from med_stylesr.volume import CTVolume

GRID_TOLERANCE = 1e-3
"""Voxels by which two grids may differ and still count as one."""
LEAST_SHARED = 11
"""Rows and columns that SSIM needs: its window (Wang et al. 2004, doi:10.1109/TIP.2003.819861)."""


@dataclass(frozen=True)
class AlignedPair:
    """A scan and a second one to be compared with it, slice by slice of the first.

    The second may be super-resolved, cropped or reversed: its slices are taken at the first one's positions. In plane
    it keeps its own resolution (`factor` times the first one's) for display and for noise; `common` averages it down.

    Attributes:
        first: the scan whose slices count.
        second: the scan that is compared.
    """

    first: CTVolume
    second: CTVolume

    @cached_property
    def factor(self) -> int:
        """Pixels of the second per pixel of the first along rows and columns, rounded, at least one."""
        ratio = np.array(self.first.spacing_mm[1:]) / np.array(self.second.spacing_mm[1:])
        return max(1, round(float(ratio.mean())))

    @cached_property
    def pixel_mm(self) -> tuple[float, float]:
        """Row and column spacing of `fine` slices in mm."""
        _, row, column = self.first.spacing_mm
        return row / self.factor, column / self.factor

    @cached_property
    def _step(self) -> NDArray[np.float64]:
        """Maps (slice, row, column, 1) of the refined first grid to indices of the second."""
        target = self.first.grid.super_resolved((1, self.factor, self.factor))
        ijk = np.linalg.inv(self.second.affine) @ target.affine
        order = [2, 1, 0, 3]
        return np.asarray(ijk[np.ix_(order, order)], dtype=np.float64)

    def fine(self, k: int) -> NDArray[np.float32]:
        """The second scan at slice k of the first, `factor` times as many rows and columns; NaN outside its field.

        The nearest slice is taken, never a blend of two: blending would lower the noise.
        """
        _, rows, columns = self.first.hu.shape
        shape = (rows * self.factor, columns * self.factor)
        step = self._step
        if self._same_slices():
            step = step.copy()
            step[0] = (1, 0, 0, 0)
        decoupled = np.allclose(step[0, 1:3], 0, atol=GRID_TOLERANCE / max(shape)) and np.allclose(
            step[1:3, 0] * self.first.hu.shape[0], 0, atol=GRID_TOLERANCE
        )
        if not decoupled:
            return _sample(self.second.hu, step, k, shape)
        nearest = round(float(step[0, 0] * k + step[0, 3]))
        if not 0 <= nearest < self.second.hu.shape[0]:
            return np.full(shape, np.nan, dtype=np.float32)
        plane = self.second.hu[nearest]
        in_plane = step[1:3, 1:]
        if plane.shape == shape and np.allclose(in_plane, np.eye(2, 3), atol=GRID_TOLERANCE):
            return np.asarray(plane, dtype=np.float32)
        moved: NDArray[np.float32] = ndimage.affine_transform(
            plane.astype(np.float32), in_plane[:, :2], in_plane[:, 2], shape, order=1, cval=np.nan
        )
        return moved

    def common(self, k: int) -> NDArray[np.float32]:
        """The second scan at slice k averaged onto the pixels of the first; NaN outside its field."""
        fine = self.fine(k)
        if self.factor == 1:
            return fine
        rows, columns = self.first.hu.shape[1:]
        blocks = fine.reshape(rows, self.factor, columns, self.factor)
        return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)

    def _same_slices(self) -> bool:
        """Unevenly spaced series lie on no grid; equal origins then mean equal slices."""
        a, b = self.first.slice_origins_mm, self.second.slice_origins_mm
        return a is not None and b is not None and a.shape == b.shape and bool(np.allclose(a, b, atol=1e-3))


def common_window(covered: NDArray[np.bool_]) -> tuple[NDArray[np.intp], slice, slice]:
    """Slices, rows and columns that hold all that two scans share: what one of them lacks must not count as equal.

    Args:
        covered: (slices, rows, columns) of the first, true where the second has values.

    Returns:
        An index for arrays of that shape.

    Raises:
        InputError: if they share fewer than `LEAST_SHARED` rows or columns.
    """
    slices, rows, columns = (np.flatnonzero(covered.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    spans = [int(used[-1] - used[0]) + 1 if used.size else 0 for used in (rows, columns)]
    if min(spans) < LEAST_SHARED:
        why = f"share {spans[0]} x {spans[1]} pixels of a slice, too little to compare"
        raise InputError("result and reference", why, "check that both show the same place of one patient")
    return slices, slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _sample(hu: NDArray[Any], step: NDArray[np.float64], k: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Trilinear samples of one slice of an oblique grid."""
    rows, columns = np.indices(shape, dtype=np.float64)
    index = step[:3, 0, None, None] * k + step[:3, 1, None, None] * rows + step[:3, 2, None, None] * columns
    index += step[:3, 3, None, None]
    sampled: NDArray[np.float32] = ndimage.map_coordinates(
        hu.astype(np.float32), index, order=1, cval=np.nan, output=np.float32
    )
    return sampled
