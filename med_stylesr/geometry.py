"""Voxel grids in patient space: LPS affines, spacing, and the resampled grid of the same field of view.

Index order in arrays is (slice k, row j, column i); affines act on (i, j, k, 1) and give LPS millimetres, DICOM's own
patient system (PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine = NDArray[np.float64]

SHEAR_TOLERANCE: Final = 1e-3
"""Cosine between the slice step and a row or column direction above which a grid counts as sheared (gantry tilt)."""

LPS_TO_RAS: Final[Affine] = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Maps LPS to RAS millimetres and back (it is its own inverse)."""


@dataclass(frozen=True)
class VoxelGrid:
    """The positions of a volume's voxels.

    Attributes:
        shape: voxels as (slices, rows, columns).
        affine: 4x4, maps voxel (i, j, k, 1) to LPS mm. A shear (gantry tilt) is legal.

    Raises:
        ValueError: if the shape has no voxels or the affine is singular or not finite.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("affine must be a finite 4x4 matrix")
        if not np.allclose(affine[3], (0, 0, 0, 1)):
            raise ValueError("last row of an affine must be 0 0 0 1")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError("affine is singular: a voxel has no volume")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"a grid needs three positive sizes, not {self.shape}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (slice, row, column) indices, in mm.

        For a sheared grid the first one is the length of the step from slice to slice, not the distance of planes.
        """
        dx, dy, dz = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dz), float(dy), float(dx)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal of the slice planes: row direction x column direction (not the slice step)."""
        n = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return np.asarray(n / np.linalg.norm(n), dtype=np.float64)

    @property
    def plane_distance_mm(self) -> float:
        """Distance of neighbouring slice planes along their normal, in mm, always positive."""
        return float(abs(self.affine[:3, 2] @ self.normal))

    @property
    def is_sheared(self) -> bool:
        """Whether slices are shifted against each other, as by a tilted gantry."""
        step = self.affine[:3, 2] / np.linalg.norm(self.affine[:3, 2])
        in_plane = self.affine[:3, :2] / np.linalg.norm(self.affine[:3, :2], axis=0)
        return bool(np.abs(step @ in_plane).max() > SHEAR_TOLERANCE)

    def positions(self, index_ijk: ArrayLike) -> NDArray[np.float64]:
        """LPS mm of (fractional) voxel indices.

        Args:
            index_ijk: shape (..., 3), order (column i, row j, slice k).

        Returns:
            Array of shape (..., 3).
        """
        index = np.asarray(index_ijk, dtype=np.float64)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3], dtype=np.float64)

    def indices(self, position_lps: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices (i, j, k) of LPS positions in mm; inverse of `positions`."""
        p = np.asarray(position_lps, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(p @ np.linalg.inv(self.affine[:3, :3]).T, dtype=np.float64)

    def super_resolved(self, scale: Sequence[int]) -> VoxelGrid:
        """Grid of the same field of view with `scale` times as many voxels per axis.

        The new affine is A · [diag(1/s) | (1/s − 1)/2]: outer voxel edges stay where they are, so voxel centres move.

        Args:
            scale: factors along (slice, row, column), each a positive integer.

        >>> grid = VoxelGrid((4, 8, 8), np.eye(4))
        >>> grid.super_resolved((1, 2, 2)).affine[0].tolist()
        [0.5, 0.0, 0.0, -0.25]
        """
        sz, sy, sx = (int(s) for s in scale)
        if min(sz, sy, sx) < 1:
            raise ValueError(f"scale factors must be positive integers, not {tuple(scale)}")
        s = np.array([sx, sy, sz], dtype=np.float64)
        step = np.eye(4)
        step[:3, :3] = np.diag(1 / s)
        step[:3, 3] = (1 / s - 1) / 2
        k, j, i = self.shape
        return VoxelGrid((k * sz, j * sy, i * sx), self.affine @ step)

    def slab(self, start: int, stop: int) -> VoxelGrid:
        """Grid of slices start … stop-1."""
        if not 0 <= start < stop <= self.shape[0]:
            raise ValueError(f"slab {start}:{stop} does not lie in {self.shape[0]} slices")
        affine = self.affine.copy()
        affine[:3, 3] = self.positions((0, 0, start))
        return VoxelGrid((stop - start, *self.shape[1:]), affine)


def lps_to_ras(affine: Affine) -> Affine:
    """Affine to RAS mm (NIfTI) from one to LPS mm (DICOM), and the other way round."""
    return np.asarray(LPS_TO_RAS @ affine, dtype=np.float64)
