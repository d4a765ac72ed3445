"""Derived CT series: one file a slice, written one after the other, strict whatever the source was like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.hu import to_int16
from med_stylesr.io.derivation import Derivation, derived_uid
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.quiet import silenced
from med_stylesr.io.series import DicomSeries

TRANSFER_SYNTAXES: Final = {
    "uncompressed": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
"""What can be written, each without any loss."""
IMPLEMENTATION_UID: Final = derived_uid("med-stylesr", "implementation class")
_VERSION_NAME: Final = "MED_STYLESR"


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
        self._grid, self._folder = grid, folder
        self._transfer_syntax, self._transform = transfer_syntax, transform_dataset
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
        if hu.shape != self._grid.shape[1:]:
            raise ValueError(f"slice has shape {hu.shape}, the series {self._grid.shape[1:]}")
        dataset = self._header.of(index, sources)
        stored = to_int16(hu)
        _declare_padding(dataset, stored, self._header.padding_hu(index))
        dataset.add_new(0x7FE00010, "OW", stored.astype("<i2", copy=False).tobytes())
        path = self._folder / f"{index + 1:0{self._digits}d}.dcm"
        if self._transform is not None:
            dataset = self._transform(dataset)
        try:
            self._save(dataset, path)
        except OSError as error:
            why = f"cannot be written ({error.strerror or error})"
            raise InputError(str(path), why, "make room or check the permissions") from error
        self._written[index] = path
        return path

    def _save(self, dataset: Dataset, path: Path) -> None:
        meta = FileMetaDataset()
        meta.FileMetaInformationVersion = b"\0\1"
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = IMPLEMENTATION_UID
        meta.ImplementationVersionName = _VERSION_NAME
        dataset.file_meta = meta
        if self._transfer_syntax.is_deflated:
            meta.TransferSyntaxUID = self._transfer_syntax
        elif self._transfer_syntax != ExplicitVRLittleEndian:
            try:
                with silenced():
                    dataset.compress(self._transfer_syntax, generate_instance_uid=False)
            except RuntimeError as error:
                why = f"cannot be encoded as {self._transfer_syntax.name} ({error})"
                raise InputError(str(path), why, "use --transfer-syntax uncompressed") from error
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)


def _declare_padding(dataset: Dataset, stored: NDArray[np.int16], padding_hu: tuple[int, int] | None) -> None:
    """Say which values are padding, if the source says so and any are left."""
    if padding_hu is None:
        return
    low, high = padding_hu
    if not ((stored >= low) & (stored <= high)).any():
        return
    dataset.add_new(0x00280120, "SS", low)
    if high > low:
        dataset.add_new(0x00280121, "SS", high)


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
