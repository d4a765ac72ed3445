"""Volume files (NIfTI, NRRD, MetaImage): told by their name's ending, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.itk import read_itk, write_itk
from med_stylesr.io.nifti import read_nifti, write_nifti
from med_stylesr.io.publish import staged_file
from med_stylesr.volume import CTVolume

_READERS: Final[dict[str, Callable[[Path], CTVolume]]] = {
    ".nii.gz": read_nifti,
    ".nii": read_nifti,
    ".nrrd": read_itk,
    ".nhdr": read_itk,
    ".mha": read_itk,
    ".mhd": read_itk,
}
_WRITERS: Final[dict[str, Callable[[CTVolume, Path], None]]] = {
    ".nii.gz": write_nifti,
    ".nii": write_nifti,
    ".nrrd": write_itk,
    ".mha": write_itk,
}


def volume_ending(path: Path) -> str:
    """The ending that tells the format (".nii.gz", ".nrrd" …), in lower case, or an empty string.

    >>> volume_ending(Path("scan.1.NII.gz"))
    '.nii.gz'
    """
    return next((ending for ending in _READERS if path.name.lower().endswith(ending)), "")


def read_volume_file(path: Path) -> CTVolume:
    """Read a NIfTI, NRRD or MetaImage volume; its values are taken for HU.

    Raises:
        InputError: if the file is damaged or holds no volume of single finite numbers.
        UsageError: for another ending.
    """
    reader = _READERS.get(volume_ending(path))
    if reader is None:
        raise UsageError(str(path), "is no volume file by its name", f"use one of {', '.join(_READERS)}")
    return reader(path)


def write_volume_file(volume: CTVolume, path: Path, overwrite: bool = False) -> None:
    """Write a volume in the format that the name's ending tells; the file appears whole or not at all.

    Raises:
        InputError: if it cannot be written, or its slices are unevenly spaced, which no volume format can say.
        UsageError: for another ending, or if the file exists and `overwrite` is off.
    """
    writer = _WRITERS.get(volume_ending(path))
    if writer is None:
        raise UsageError(str(path), "no volume can be written under such a name", f"use one of {', '.join(_WRITERS)}")
    if not volume.evenly_spaced:
        why = "slices are unevenly spaced, which a volume file cannot express"
        raise InputError(str(path), why, "write DICOM instead (--format dicom)")
    with staged_file(path, overwrite) as partial:
        writer(volume, partial)
