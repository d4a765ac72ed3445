"""Volume files (NIfTI, NRRD, MetaImage): told by their name's ending, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.publish import staged_file
from med_stylesr.volume import CTVolume

_NIFTI: Final = (".nii.gz", ".nii")
_ITK: Final = (".nrrd", ".nhdr", ".mha", ".mhd")
_DETACHED: Final = (".nhdr", ".mhd")
"""Headers with the voxels in a second file: read, but not written, since one file is published at once."""


def volume_ending(path: Path) -> str:
    """The ending that tells the format (".nii.gz", ".nrrd" …), in lower case, or an empty string.

    >>> volume_ending(Path("scan.1.NII.gz"))
    '.nii.gz'
    """
    return next((ending for ending in (*_NIFTI, *_ITK) if path.name.lower().endswith(ending)), "")


def read_volume_file(path: Path) -> CTVolume:
    """Read a NIfTI, NRRD or MetaImage volume; its values are taken for HU.

    Raises:
        InputError: if the file is damaged or holds no volume of single finite numbers.
        UsageError: for another ending.
    """
    ending = volume_ending(path)
    if ending in _NIFTI:
        from med_stylesr.io.nifti import read_nifti

        return read_nifti(path)
    if ending in _ITK:
        from med_stylesr.io.itk import read_itk

        return read_itk(path)
    raise UsageError(str(path), "is no volume file by its name", f"use one of {', '.join((*_NIFTI, *_ITK))}")


def write_volume_file(volume: CTVolume, path: Path, overwrite: bool = False) -> None:
    """Write a volume in the format that the name's ending tells; the file appears whole or not at all.

    Raises:
        InputError: if it cannot be written, or its slices are unevenly spaced, which no volume format can say.
        UsageError: for another ending, or if the file exists and `overwrite` is off.
    """
    ending = volume_ending(path)
    if not ending or ending in _DETACHED:
        raise UsageError(str(path), "no volume can be written under such a name", "use .nii.gz, .nii, .nrrd or .mha")
    if not volume.evenly_spaced:
        why = "slices are unevenly spaced, which a volume file cannot express"
        raise InputError(str(path), why, "write DICOM instead (--format dicom)")
    with staged_file(path, overwrite) as partial:
        if ending in _NIFTI:
            from med_stylesr.io.nifti import write_nifti

            write_nifti(volume, partial)
        else:
            from med_stylesr.io.itk import write_itk

            write_itk(volume, partial)
