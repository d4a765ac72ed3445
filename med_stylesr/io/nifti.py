"""NIfTI volumes; the one place where LPS and RAS millimetres are converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import lps_to_ras
from med_stylesr.io.nifti_forms import affine_of, forms_of, set_forms, warnings_of
from med_stylesr.io.nifti_packed import drain, is_packed, unpacked
from med_stylesr.io.quiet import silenced
from med_stylesr.io.rescale import rescaled
from med_stylesr.io.volume_checks import check_claimed_size, volume_of
from med_stylesr.volume import CTVolume


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
        shape = tuple(int(n) for n in image.shape)
        dtype = image.get_data_dtype()
        if dtype.kind not in "iuf":
            raise InputError(name, f"voxels are {dtype}, not one number each", "give a volume in HU")
        check_claimed_size(path, shape, dtype.itemsize)
        stored = _stored(image.dataobj, path).reshape(shape[:3])
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        affine, forms = affine_of(image), forms_of(image)
    except InputError:
        raise
    except (ImageFileError, AttributeError) as error:
        raise InputError(name, f"is no NIfTI volume ({error})", "export it again") from error
    except Exception as error:
        # nibabel, gzip and zlib each raise their own for a damaged file, without a base class in common.
        raise InputError(name, f"is damaged ({error})", "copy or export it again") from error
    hu = rescaled(stored, slope, intercept)
    provenance = {"format": "nifti", "nifti": forms, "warnings": warnings_of(forms, shape)}
    return volume_of(name, hu.transpose(2, 1, 0), lps_to_ras(affine), provenance)


def write_nifti(volume: CTVolume, path: Path) -> None:
    """Write a volume as NIfTI-1, int16 or float32 as it is, with the sform and qform that its source had.

    A volume that comes from no NIfTI file gets an sform and, unless the grid is sheared, a qform. The source's
    description and extensions are not taken over: they may tell of the patient, and of voxels that are no longer there.
    """
    data: NDArray[Any] = volume.hu.transpose(2, 1, 0)
    image = nibabel.Nifti1Image(data, lps_to_ras(volume.affine))
    image.header.set_data_dtype(volume.hu.dtype)
    image.header.set_xyzt_units("mm")
    set_forms(image.header, volume.grid, volume.provenance.get("nifti"))
    nibabel.save(image, path)


def _stored(voxels: ArrayProxy, path: Path) -> NDArray[Any]:
    """Voxels as they are in the file, which is read to its end, where a packed one has its check sum."""
    if not is_packed(path):
        return np.asanyarray(voxels.get_unscaled())
    stream, voxels = unpacked(path, voxels)
    with stream:
        stored: NDArray[Any] = np.asanyarray(voxels.get_unscaled())
        drain(stream)
    return stored
