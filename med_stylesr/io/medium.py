"""Derived series as a DICOM medium: copies under names that ISO 9660 allows, and the DICOMDIR that lists them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pydicom
from pydicom import fileset
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from med_stylesr.errors import InputError
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.publish import staged_folder

_PIXEL_DATA: Final = 0x7FE00010
_INVENTED: Final = {"PatientID": "UNKNOWN", "StudyDate": "19000101", "StudyTime": "000000", "StudyID": "1"}
"""What the index says where an instance, de-identified perhaps, leaves empty what the index may not (PS3.3 F.5)."""


def write_medium(folders: Sequence[Path], medium: Path) -> None:
    """Write `medium` anew with the instances of some series folders; it appears whole or not at all.

    Args:
        folders: series folders as `DerivedSeriesWriter` fills them.
        medium: folder for DICOMDIR and copies, PT000000/ST000000/SE000000/IM000000.

    What the index needs and an instance lacks (patient id, study date and time) is made up in the index alone.

    Raises:
        InputError: if an instance cannot lie on a medium, or the disk is full.
    """
    files = [path for folder in sorted(folders) for path in sorted(folder.glob("*.dcm"))]
    listing = FileSet()
    listing.UID = derived_uid("medium", *(path.relative_to(medium.parent) for path in files))
    with staged_folder(medium, overwrite=True) as partial, _index_filled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            try:
                listing.add(pydicom.dcmread(path, defer_size=1 << 16))
            except (ValueError, AttributeError) as error:
                raise InputError(str(path), f"cannot lie on a medium ({error})", "leave --dicomdir out") from error
        listing.write(partial)


@contextmanager
def _index_filled() -> Iterator[None]:
    """Have pydicom make records of patients and studies that lack what these must tell."""
    kept = dict(fileset.DIRECTORY_RECORDERS)

    def filled(define: Callable[[Dataset], Dataset]) -> Callable[[Dataset], Dataset]:
        def record(ds: Dataset) -> Dataset:
            known = Dataset({tag: ds[tag] for tag in ds.keys() if tag != _PIXEL_DATA})  # noqa: SIM118
            for keyword, value in _INVENTED.items():
                if not known.get(keyword):
                    # Not in place: the element is the instance's own.
                    known.pop(keyword, None)
                    setattr(known, keyword, value)
            return define(known)

        return record

    try:
        for level in ("PATIENT", "STUDY"):
            fileset.DIRECTORY_RECORDERS[level] = filled(kept[level])  # type: ignore[assignment]
        yield
    finally:
        fileset.DIRECTORY_RECORDERS.update(kept)
