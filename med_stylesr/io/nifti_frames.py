"""NIfTI files with a time axis, read and written a frame at a time: no more than a frame is ever in memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import Affine, VoxelGrid, lps_to_ras
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

    Raises:
        InputError: if the file is damaged or has no time axis.
    """

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        try:
            self._image: Any = nibabel.Nifti1Image.from_filename(path, keep_file_open=True)
            shape = tuple(int(n) for n in self._image.shape)
            dtype = self._image.get_data_dtype()
        except Exception as error:
            # nibabel, gzip and zlib each raise their own for a damaged file, without a base class in common.
            raise InputError(self._name, f"is no NIfTI file ({error})", "give a .nii or .nii.gz with frames") from error
        if len(shape) != 4 or dtype.kind not in "iuf":
            why = f"has axes {shape} of {dtype}, not columns, rows, slices and frames of numbers"
            raise InputError(self._name, why, "leave --stream out for a single volume")
        check_claimed_size(path, (shape[0], shape[1], shape[2] * shape[3]), dtype.itemsize)
        space, time = self._image.header.get_xyzt_units()
        affine = np.asarray(self._image.affine, dtype=np.float64).copy()
        affine[:3] *= {"meter": 1000.0, "micron": 0.001}.get(space, 1.0)
        self.affine: Affine = lps_to_ras(affine)
        self.count = shape[3]
        per_unit = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(time, 0.0)
        self.seconds = float(self._image.header.get_zooms()[3]) * per_unit

    def frame(self, t: int) -> CTVolume:
        """Frame number t, from 0.

        Raises:
            InputError: if it is damaged or has values that are no numbers.
        """
        try:
            stored = np.asanyarray(self._image.dataobj[..., t])
        except Exception as error:
            raise InputError(self._name, f"frame {t} cannot be read ({error})", "copy or export it again") from error
        hu = rescaled(stored, 1.0, 0.0).transpose(2, 1, 0)
        return volume_of(self._name, hu, self.affine, {"format": "nifti", "frame": t})


@contextmanager
def frames_file(path: Path, grid: VoxelGrid, count: int, seconds: float) -> Iterator[Callable[[NDArray[Any]], None]]:
    """A NIfTI file being written: yields a function that appends a frame, HU (slices, rows, columns), as int16.

    Args:
        path: ends in .nii or .nii.gz.
        grid: of every frame.
        count: frames that will be written.
        seconds: from frame to frame; 0 if unknown.
    """
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*reversed(grid.shape), count))
    affine = lps_to_ras(grid.affine)
    header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), seconds))
    header.set_xyzt_units("mm", "sec" if seconds else None)
    header.set_sform(affine, code=1)
    header["vox_offset"] = _HEADER_BYTES
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file:
        file.write(header.binaryblock + bytes(_HEADER_BYTES - len(header.binaryblock)))

        def append(hu: NDArray[Any]) -> None:
            # Columns run fastest in the file, as they do here.
            file.write(np.ascontiguousarray(np.clip(np.rint(hu), -32768, 32767), dtype="<i2").tobytes())

        yield append
