"""A derived CT series as one Enhanced CT image: frames go to the disk as they come, the header when all are there."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian

from med_stylesr.errors import InputError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.io.attributes import word
from med_stylesr.io.derivation import SPATIAL_RESAMPLING, STANDARD_DEVIATION, Derivation, derived_uid
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.derived_image import DerivedImages, cannot_be_written, file_meta
from med_stylesr.io.elements import put
from med_stylesr.io.enhanced_header import EnhancedHeader
from med_stylesr.io.publish import PARTIAL
from med_stylesr.io.series import DicomSeries

FILE: Final = "0001.dcm"
_LONGEST: Final = 0xFFFFFFFE
"""Bytes that a native pixel data element can hold, and greatest offset in a Basic Offset Table (PS3.5 A.4)."""
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_ITEM: Final = b"\xfe\xff\x00\xe0"
_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED: Final = b"\xff\xff\xff\xff"


class EnhancedImageWriter:
    """Writes a derived series as one file with a frame for every slice; slices may come in any order.

    The file appears in the folder with the last slice. Memory holds a frame's pixels and about 2 kB of header a frame.

    Args:
        series: the source.
        grid: voxels of the derived series.
        derivation: what was done.
        folder: where the file goes, as 0001.dcm; needs room for the pixel data twice.
        slice_origins_mm: (slices, 3) LPS mm of the first voxel of each slice if `grid` does not place them exactly
            (see `output_places`), else None.
        transfer_syntax: one of `dicom_write.TRANSFER_SYNTAXES` that `refuse_transfer_syntax` takes.
        transform_dataset: called with every slice, as a finished single-frame CT image, before it becomes a frame (for
            de-identification); what it returns becomes one.

    Raises:
        InputError: if the source cannot be expressed as Enhanced CT.
        UsageError: for a transfer syntax that multi-frame images are not written in.
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
        refuse_transfer_syntax(transfer_syntax)
        _refuse(series, grid, transfer_syntax)
        self._series, self._grid, self._transfer_syntax = series, grid, transfer_syntax
        self._single = DerivedHeader(series, grid, derivation, slice_origins_mm)
        self._transform = transform_dataset
        after = self._of_one_instance if transform_dataset else None
        self._images = DerivedImages(self._single, grid, transfer_syntax, after)
        evenly = series.slice_origins_mm is None
        self._whole = EnhancedHeader(series.name, _frame_type(derivation, evenly), evenly=evenly)
        self._path, self._frames = folder / FILE, folder / f"{PARTIAL}frames"
        self._spans: dict[int, tuple[int, int]] = {}

    @property
    def series_uid(self) -> UID:
        """SeriesInstanceUID of the derived series, before `transform_dataset`."""
        return enhanced_series_uid(self._single)

    @property
    def files(self) -> list[Path]:
        """The file, once all slices are written."""
        return [self._path] if self.complete else []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the source's headers could not be kept or had to be repaired."""
        return (*self._single.warnings, *self._whole.warnings)

    @property
    def complete(self) -> bool:
        """Whether every slice has been written."""
        return len(self._spans) == self._grid.shape[0]

    def write(self, index: int, hu: NDArray[Any], sources: Sequence[int] | None = None) -> Path:
        """Write one slice; with the last one the file is finished.

        Args:
            index: slice of the derived series, from 0.
            hu: (rows, columns) HU; rounded half to even and saturated to signed 16-bit.
            sources: slices of the source it was made of; by default those within the derivation's `source_radius`.

        Raises:
            InputError: if it cannot be written.
            ValueError: for another shape or values that are not finite, or a slice that was written before.
        """
        if index in self._spans:
            raise ValueError(f"slice {index} was written before")
        frame = self._images.shared(index, hu, sources, self._path)
        if self._transform is None:
            frame = self._of_one_instance(frame)
        pixels = frame.PixelData
        if self._transfer_syntax.is_encapsulated:
            pixels = next(generate_frames(pixels, number_of_frames=1))
        del frame.PixelData
        self._whole.add(index, frame)
        try:
            with self._frames.open("ab") as file:
                self._spans[index] = file.tell(), file.write(pixels)
            if self.complete:
                self._assemble()
        except OSError as error:
            raise cannot_be_written(self._path, error) from error
        return self._path

    def _of_one_instance(self, dataset: Dataset) -> Dataset:
        """Give all slices the UIDs of the one image, and name the series of their sources, then transform them."""
        series_uid = self.series_uid
        put(dataset, SeriesInstanceUID=series_uid, SOPInstanceUID=derived_uid("instance", series_uid, 0))
        evidence = _evidence(dataset, self._series.uid)
        if evidence is not None:
            dataset.SourceImageEvidenceSequence = [evidence]
        return self._transform(dataset) if self._transform else dataset

    def _assemble(self) -> None:
        header = self._whole.dataset()
        header.file_meta = file_meta(header, self._transfer_syntax)
        order = [self._spans[index] for index in range(len(self._spans))]
        if not self._transfer_syntax.is_encapsulated:
            start = _PIXEL_DATA + b"OW\0\0" + struct.pack("<L", sum(length for _, length in order))
        else:
            offsets = np.cumsum([0, *(8 + length + length % 2 for _, length in order[:-1])])
            table = b""
            if offsets[-1] <= _LONGEST:
                table = offsets.astype("<u4").tobytes()
            else:
                header.ExtendedOffsetTable = offsets.astype("<u8").tobytes()
                lengths = np.array([length + length % 2 for _, length in order], "<u8")
                header.ExtendedOffsetTableLengths = lengths.tobytes()
            start = _PIXEL_DATA + b"OB\0\0" + _UNDEFINED + _ITEM + struct.pack("<L", len(table)) + table
        with self._path.open("wb") as file, self._frames.open("rb") as frames:
            pydicom.dcmwrite(file, header, implicit_vr=False, little_endian=True, enforce_file_format=True)
            file.write(start)
            self._copy_frames(order, frames, file)
        self._frames.unlink()

    def _copy_frames(self, order: Sequence[tuple[int, int]], frames: BinaryIO, file: BinaryIO) -> None:
        for begin, length in order:
            frames.seek(begin)
            pixels = frames.read(length)
            if self._transfer_syntax.is_encapsulated:
                pixels = _ITEM + struct.pack("<L", length + length % 2) + pixels + bytes(length % 2)
            file.write(pixels)
        if self._transfer_syntax.is_encapsulated:
            file.write(_END)


def enhanced_series_uid(single: DerivedHeader) -> UID:
    """SeriesInstanceUID of the series as one image; the same series as single-frame images has another one."""
    return derived_uid("one instance", single.series_uid)


def refuse_transfer_syntax(transfer_syntax: UID) -> None:
    """Make sure that frames can be had one by one in it.

    Raises:
        UsageError: if they cannot.
    """
    if transfer_syntax.is_deflated:
        why = "packs a file as a whole, so no frame of a multi-frame image could be read without all of them"
        raise UsageError("--transfer-syntax deflated", why, "use jpeg-ls, or leave --multiframe out")


def _refuse(series: DicomSeries, grid: VoxelGrid, transfer_syntax: UID) -> None:
    size = 2 * int(np.prod(grid.shape))
    if size > _LONGEST and not transfer_syntax.is_encapsulated:
        why = f"takes {size / 1e9:.1f} GB, more than the 4.3 GB that one uncompressed image can hold"
        raise InputError(series.name, why, "use --transfer-syntax jpeg-ls, or leave --multiframe out")
    if any(word(header, "BurnedInAnnotation") == "YES" for header in series.headers):
        why = "says that text is burned into its pixels, which Enhanced CT images must not have"
        raise InputError(series.name, why, "leave --multiframe out")


def _frame_type(derivation: Derivation, evenly: bool) -> tuple[str, str, str, str]:
    """FrameType and ImageType (PS3.3 C.8.16.1); the standard allows no other second value than PRIMARY."""
    if STANDARD_DEVIATION in derivation.codes:
        contrast = "STD_DEVIATION"
    else:
        contrast = "RESAMPLED" if SPATIAL_RESAMPLING in derivation.codes else "NONE"
    return "DERIVED", "PRIMARY", "VOLUME" if evenly else "PARALLEL", contrast


def _evidence(dataset: Dataset, series_uid: str) -> Dataset | None:
    """Hierarchical reference (PS3.3 10.15) to what SourceImageSequence refers to; None if there is nothing valid."""
    if not UID(series_uid).is_valid or not dataset.get("SourceImageSequence"):
        return None
    of_series, of_study = Dataset(), Dataset()
    of_study.StudyInstanceUID, of_study.ReferencedSeriesSequence = dataset.StudyInstanceUID, [of_series]
    of_series.SeriesInstanceUID, of_series.ReferencedSOPSequence = series_uid, []
    for source in dataset.SourceImageSequence:
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.ReferencedSOPClassUID
        reference.ReferencedSOPInstanceUID = source.ReferencedSOPInstanceUID
        of_series.ReferencedSOPSequence.append(reference)
    return of_study
