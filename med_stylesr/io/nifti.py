"""NIfTI volumes; the one place where LPS and RAS millimetres are converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import Affine, lps_to_ras
from med_stylesr.io.quiet import silenced
from med_stylesr.io.rescale import rescaled
from med_stylesr.io.volume_checks import check_claimed_size, volume_of
from med_stylesr.volume import CTVolume

_MM_PER_UNIT: Final = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_SCANNER: Final = 1
"""NIFTI_XFORM_SCANNER_ANAT: the affine gives scanner coordinates."""


def read_nifti(path: Path) -> CTVolume:
    """Read a NIfTI-1 or -2 volume as HU.

    The sform is taken if its code is set, else the qform, else voxel sizes only (with a warning in the provenance). A
    fourth axis of length one is dropped.

    Raises:
        InputError: if the file is damaged, has several volumes, colours, complex or not finite values.
    """
    name = str(path)
    try:
        # What it finds odd, nibabel logs to standard error; what matters of that is checked below.
        with silenced():
            image = nibabel.load(path)
        header = image.header
        shape = tuple(int(n) for n in image.shape)
        dtype = image.get_data_dtype()
        if dtype.kind not in "iuf":
            raise InputError(name, f"voxels are {dtype}, not one number each", "give a volume in HU")
        check_claimed_size(path, shape, dtype.itemsize)
        stored = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape[:3])
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        unit = header.get_xyzt_units()[0]
        placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = np.asarray(image.affine, dtype=np.float64).copy()
    except InputError:
        raise
    except (ImageFileError, AttributeError) as error:
        raise InputError(name, f"is no NIfTI volume ({error})", "export it again") from error
    except Exception as error:
        # nibabel, gzip and zlib each raise their own for a damaged file, without a base class in common.
        raise InputError(name, f"is damaged ({error})", "copy or export it again") from error
    affine[:3] *= _MM_PER_UNIT.get(unit, 1.0)
    hu = rescaled(stored, slope, intercept)
    warnings = [] if placed else ["neither sform nor qform is set: position and orientation are assumed to be RAS"]
    return volume_of(name, hu.transpose(2, 1, 0), lps_to_ras(affine), {"format": "nifti", "warnings": warnings})


def write_nifti(volume: CTVolume, path: Path) -> None:
    """Write a volume as NIfTI-1, int16 or float32 as it is, with sform and, unless the grid is sheared, qform."""
    affine: Affine = lps_to_ras(volume.affine)
    data: NDArray[Any] = volume.hu.transpose(2, 1, 0)
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_data_dtype(volume.hu.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=_SCANNER)
    # A quaternion cannot hold a shear; readers must then use the sform.
    image.set_qform(affine, code=0 if volume.grid.is_sheared else _SCANNER, strip_shears=True)
    nibabel.save(image, path)
