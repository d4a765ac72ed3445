"""Derived series as a DICOM medium: copies under names that ISO 9660 allows, and the DICOMDIR that lists them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.fileset import FileSet

from med_stylesr.errors import InputError
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.publish import staged_folder


def write_medium(folders: Sequence[Path], medium: Path) -> None:
    """Write `medium` anew with the instances of some series folders; it appears whole or not at all.

    Args:
        folders: series folders as `DerivedSeriesWriter` fills them.
        medium: folder for DICOMDIR and copies, PT000000/ST000000/SE000000/IM000000.

    Raises:
        InputError: if an instance lacks what a medium asks for (patient id, study date …), or the disk is full.
    """
    files = [path for folder in sorted(folders) for path in sorted(folder.glob("*.dcm"))]
    listing = FileSet()
    listing.UID = derived_uid("medium", *(path.relative_to(medium.parent) for path in files))
    with staged_folder(medium, overwrite=True) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            try:
                listing.add(pydicom.dcmread(path, defer_size=1 << 16))
            except (ValueError, AttributeError) as error:
                raise InputError(str(path), f"cannot lie on a medium ({error})", "leave --dicomdir out") from error
        listing.write(partial)
