"""Derived CT series: one file a slice, written one after the other, strict whatever the source was like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.io.derivation import Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.derived_image import IMPLEMENTATION_UID, VERSION_NAME, DerivedImages, cannot_be_written
from med_stylesr.io.encode import Encoder
from med_stylesr.io.series import DicomSeries

TRANSFER_SYNTAXES: Final = {
    "uncompressed": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
"""What can be written, each without any loss."""


class DerivedSeriesWriter:
    """Writes a derived series slice by slice into a folder that exists; slices may come in any order.

    Args:
        series: the source.
        grid: voxels of the derived series.
        derivation: what was done.
        folder: where the files go, as NNNN.dcm in slice order.
        slice_origins_mm: (slices, 3) LPS mm of the first voxel of each slice if `grid` does not place them exactly
            (see `output_places`), else None.
        transfer_syntax: one of `TRANSFER_SYNTAXES`.
        transform_dataset: called with every finished dataset before it is written (for de-identification); what it
            returns is written.

    Attributes:
        series_uid: SeriesInstanceUID of the derived series, before `transform_dataset`.
        files: what has been written so far.
    """

    def __init__(
        self,
        series: DicomSeries,
        grid: VoxelGrid,
        derivation: Derivation,
        folder: Path,
        *,
        slice_origins_mm: NDArray[np.float64] | None = None,
        transfer_syntax: UID = ExplicitVRLittleEndian,
        transform_dataset: Callable[[Dataset], Dataset] | None = None,
    ) -> None:
        self._header = DerivedHeader(series, grid, derivation, slice_origins_mm)
        self._images = DerivedImages(self._header, grid, transfer_syntax, transform_dataset)
        self._encoder, self._transfer_syntax = Encoder(IMPLEMENTATION_UID, VERSION_NAME), transfer_syntax
        self._grid, self._folder = grid, folder
        self._digits = max(4, len(str(grid.shape[0])))
        self._written: dict[int, Path] = {}

    @property
    def series_uid(self) -> UID:
        """SeriesInstanceUID of the derived series."""
        return self._header.series_uid

    @property
    def files(self) -> list[Path]:
        """Written files in slice order."""
        return [self._written[k] for k in sorted(self._written)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the source's headers could not be kept or had to be repaired."""
        return self._header.warnings

    @property
    def complete(self) -> bool:
        """Whether every slice has been written."""
        return len(self._written) == self._grid.shape[0]

    def write(self, index: int, hu: NDArray[Any], sources: Sequence[int] | None = None) -> Path:
        """Write one slice.

        Args:
            index: slice of the derived series, from 0.
            hu: (rows, columns) HU; rounded half to even and saturated to signed 16-bit.
            sources: slices of the source it was made of; by default those within the derivation's `source_radius`.

        Raises:
            InputError: if the file cannot be written.
            ValueError: for another shape or values that are not finite.
        """
        path = self._folder / f"{index + 1:0{self._digits}d}.dcm"
        dataset = self._images.shared(index, hu, sources, path)
        pieces = self._encoder.file(dataset, self._transfer_syntax)
        try:
            with path.open("wb") as file:
                file.writelines(pieces)
        except OSError as error:
            raise cannot_be_written(path, error) from error
        self._written[index] = path
        return path


def output_places(series: DicomSeries, scale: Sequence[int]) -> tuple[VoxelGrid, NDArray[np.float64] | None]:
    """Grid and slice origins of the series at `scale`, for `DerivedSeriesWriter`.

    Without scaling through the plane every slice keeps exactly its own place, evenly spaced or not.

    Args:
        series: the source.
        scale: factors along (slice, row, column).

    Raises:
        InputError: if scaled through the plane while slices are unevenly spaced.
    """
    grid = series.grid.super_resolved(scale)
    if scale[0] == 1:
        shift = grid.positions((0, 0, 0)) - series.grid.positions((0, 0, 0))
        return grid, series.origins_mm + shift
    if series.slice_origins_mm is not None:
        why = "slices are unevenly spaced, so there is no regular grid to refine through the plane"
        raise InputError(series.name, why, "use --scale 1 for the slice axis")
    return grid, None
