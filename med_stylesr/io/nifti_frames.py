"""NIfTI files with a time axis, read and written a frame at a time: no more than a frame is ever in memory."""

from __future__ import annotations

import gzip
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import Affine, VoxelGrid, lps_to_ras
from med_stylesr.io.nifti_forms import Forms, affine_of, forms_of, set_forms, warnings_of
from med_stylesr.io.nifti_packed import drain, is_packed, unpacked
from med_stylesr.io.rescale import rescaled
from med_stylesr.io.volume_checks import check_claimed_size, volume_of
from med_stylesr.volume import CTVolume

_HEADER_BYTES = 352
"""Where voxels begin in a NIfTI-1 file without extensions."""


class NiftiFrames:
    """The frames of a NIfTI file with four axes.

    Args:
        path: ends in .nii or .nii.gz.

    Attributes:
        count: frames.
        seconds: from frame to frame; 0 if the file does not tell.
        forms: how its header places the frames, for `frames_file`.
        warnings: what is odd about their place.

    Raises:
        InputError: if the file is damaged or has no time axis.
    """

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        try:
            self._image: Any = nibabel.Nifti1Image.from_filename(path, keep_file_open=True)
            shape = tuple(int(n) for n in self._image.shape)
            dtype = self._image.get_data_dtype()
            affine, self.forms = affine_of(self._image), forms_of(self._image)
        except Exception as error:
            # nibabel, gzip and zlib each raise their own for a damaged file, without a base class in common.
            raise InputError(self._name, f"is no NIfTI file ({error})", "give a .nii or .nii.gz with frames") from error
        if len(shape) != 4 or dtype.kind not in "iuf":
            why = f"has axes {shape} of {dtype}, not columns, rows, slices and frames of numbers"
            raise InputError(self._name, why, "leave --stream out for a single volume")
        check_claimed_size(path, (shape[0], shape[1], shape[2] * shape[3]), dtype.itemsize)
        self._voxels: Any = self._image.dataobj
        self._packed: BinaryIO | None = None
        if is_packed(path):
            self._packed, self._voxels = unpacked(path, self._voxels)
            weakref.finalize(self, self._packed.close)
        time = self._image.header.get_xyzt_units()[1]
        self.affine: Affine = lps_to_ras(affine)
        self.warnings = warnings_of(self.forms, shape)
        self.count = shape[3]
        per_unit = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(time, 0.0)
        self.seconds = float(self._image.header.get_zooms()[3]) * per_unit

    def frame(self, t: int) -> CTVolume:
        """Frame number t, from 0; with the last one the check sum of a packed file is compared.

        Raises:
            InputError: if it is damaged or has values that are no numbers.
        """
        try:
            stored = np.asanyarray(self._voxels[..., t])
            if self._packed is not None and t == self.count - 1:
                drain(self._packed)
        except Exception as error:
            why = f"frame {t + 1} of {self.count} cannot be read ({error})"
            raise InputError(self._name, why, "copy or export it again") from error
        hu = rescaled(stored, 1.0, 0.0).transpose(2, 1, 0)
        provenance = {"format": "nifti", "frame": t, "nifti": self.forms, "warnings": self.warnings}
        return volume_of(self._name, hu, self.affine, provenance)


@contextmanager
def frames_file(
    path: Path, grid: VoxelGrid, count: int, seconds: float, forms: Forms | None = None
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """A NIfTI file being written: yields a function that appends a frame, HU (slices, rows, columns), as int16.

    Args:
        path: ends in .nii or .nii.gz.
        grid: of every frame.
        count: frames that will be written.
        seconds: from frame to frame; 0 if unknown.
        forms: how the header of the source places its frames, if that is to be kept.
    """
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*reversed(grid.shape), count))
    header.set_zooms((*np.linalg.norm(grid.affine[:3, :3], axis=0), seconds))
    header.set_xyzt_units("mm", "sec" if seconds else None)
    set_forms(header, grid, forms)
    header["vox_offset"] = _HEADER_BYTES
    with gzip.open(path, "wb", compresslevel=1) if is_packed(path) else path.open("wb") as file:
        file.write(header.binaryblock + bytes(_HEADER_BYTES - len(header.binaryblock)))

        def append(hu: NDArray[Any]) -> None:
            # Columns run fastest in the file, as they do here.
            file.write(np.ascontiguousarray(np.clip(np.rint(hu), -32768, 32767), dtype="<i2").tobytes())

        yield append
