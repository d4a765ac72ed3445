"""The one type that moves between the parts: a CT volume in HU with its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.geometry import Affine, VoxelGrid


@dataclass(frozen=True)
class CTVolume:
    """A CT volume.

    Attributes:
        hu: HU, shape (slices, rows, columns), float32 or int16. Padding values below HU_MIN are kept as they are.
        affine: 4x4, voxel (i, j, k, 1) to LPS mm.
        provenance: where the volume came from and what was done: JSON-able values, no pixel data.
        slice_origins_mm: (slices, 3) LPS mm of each slice's first voxel when the slices are not evenly spaced (the
            affine is then the least-squares one), otherwise None.

    Raises:
        ValueError: for a wrong shape, type, or number of slice origins.
    """

    hu: NDArray[Any]
    affine: Affine
    provenance: Mapping[str, Any] = field(default_factory=dict)
    slice_origins_mm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 3:
            raise ValueError(f"a CT volume has three axes (slice, row, column), not {self.hu.ndim}")
        if self.hu.dtype not in (np.float32, np.int16):
            raise ValueError(f"HU are float32 or int16, not {self.hu.dtype}")
        if self.slice_origins_mm is not None and self.slice_origins_mm.shape != (self.hu.shape[0], 3):
            raise ValueError("slice_origins_mm needs one position a slice")
        object.__setattr__(self, "affine", self.grid.affine)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @property
    def grid(self) -> VoxelGrid:
        """Positions of the voxels (of the least-squares even grid, if slices are unevenly spaced)."""
        return VoxelGrid((self.hu.shape[0], self.hu.shape[1], self.hu.shape[2]), self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along (slice, row, column) in mm."""
        return self.grid.spacing_mm

    @property
    def evenly_spaced(self) -> bool:
        """Whether one affine places every slice."""
        return self.slice_origins_mm is None

    def with_hu(self, hu: NDArray[Any], affine: Affine | None = None, **provenance: Any) -> CTVolume:
        """Copy with other HU, optionally on another grid, and with additions to the provenance."""
        return replace(
            self,
            hu=hu,
            affine=self.affine if affine is None else affine,
            provenance={**self.provenance, **provenance},
            slice_origins_mm=self.slice_origins_mm if affine is None else None,
        )
