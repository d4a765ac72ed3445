"""Finished images of a derived series: header, pixels, what a hook makes of them, and their encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.hu import to_int16
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.elements import owned
from med_stylesr.io.lossless import encoded_frame

IMPLEMENTATION_UID: Final = derived_uid("med-stylesr", "implementation class")
VERSION_NAME: Final = "MED_STYLESR"
_PIXEL_DATA: Final = 0x7FE00010
_INT16: Final = np.iinfo(np.int16)


class DerivedImages:
    """Makes the image of each slice, encoded and complete but for its place on the disk.

    Args:
        header: makes the headers.
        grid: voxels of the derived series.
        transfer_syntax: a lossless one; of a deflated one, which is of whole files, only the name is noted.
        transform: called with every finished dataset before it is encoded; what it returns is encoded.
    """

    def __init__(
        self,
        header: DerivedHeader,
        grid: VoxelGrid,
        transfer_syntax: UID,
        transform: Callable[[Dataset], Dataset] | None,
    ) -> None:
        self._header, self._grid = header, grid
        self._transfer_syntax, self._transform = transfer_syntax, transform

    def of(self, index: int, hu: NDArray[Any], sources: Sequence[int] | None, path: Path) -> Dataset:
        """One slice with its file meta information, free to be changed in place.

        Args:
            index: slice of the derived series, from 0.
            hu: (rows, columns) HU; rounded half to even and saturated to signed 16-bit.
            sources: slices of the source it was made of; by default those within the derivation's `source_radius`.
            path: where it will lie, for messages.

        Raises:
            InputError: if it cannot be encoded.
            ValueError: for another shape or values that are not finite.
        """
        dataset = owned(self.shared(index, hu, sources, path))
        dataset.file_meta = file_meta(dataset, self._transfer_syntax)
        return dataset

    def shared(self, index: int, hu: NDArray[Any], sources: Sequence[int] | None, path: Path) -> Dataset:
        """As `of`, but with elements that other slices have too, to be read only, and without file meta information."""
        if hu.shape != self._grid.shape[1:]:
            raise ValueError(f"slice has shape {hu.shape}, the series {self._grid.shape[1:]}")
        dataset = (self._header.of if self._transform else self._header.shared)(index, sources)
        stored = to_int16(hu)
        if hu.dtype != np.int16 and (hu.max() > _INT16.max or hu.min() < _INT16.min):
            self._header.warn(f"HU beyond {_INT16.min} or {_INT16.max} are stored as these")
        _declare_padding(dataset, stored, self._header.padding_hu(index))
        dataset.add_new(_PIXEL_DATA, "OW", stored.astype("<i2", copy=False).tobytes())
        if self._transform:
            dataset = self._transform(dataset)
        if self._transfer_syntax.is_encapsulated:
            # What the hook has left, which may not be what it was given.
            stored = np.frombuffer(dataset.PixelData, dtype="<i2").reshape(hu.shape)
            try:
                frame = encoded_frame(stored, self._transfer_syntax)
            except RuntimeError as error:
                why = f"cannot be encoded as {self._transfer_syntax.name} ({error})"
                raise InputError(str(path), why, "use --transfer-syntax uncompressed") from error
            dataset[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OB", encapsulate([frame]), is_undefined_length=True)
        return dataset


def file_meta(dataset: Dataset, transfer_syntax: UID) -> FileMetaDataset:
    """File meta information (PS3.10 7.1) of an instance."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = VERSION_NAME
    return meta


def cannot_be_written(path: Path, error: OSError) -> InputError:
    """What a user is told of a file that the system refuses to take."""
    why = f"cannot be written ({error.strerror or error})"
    return InputError(str(path), why, "make room or check the permissions")


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
