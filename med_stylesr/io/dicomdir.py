"""DICOMDIR: the files that a DICOM medium lists (PS3.3 F.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from med_stylesr.errors import InputError
from med_stylesr.io.attributes import words
from med_stylesr.io.header import read_header
from med_stylesr.io.series import Skipped


def listed_files(dicomdir: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Files that the index lists, below its own folder only; missing ones go to `skipped`.

    Raises:
        InputError: if the index itself cannot be read.
    """
    base = dicomdir.parent.resolve()
    records = read_header(dicomdir).header.get("DirectoryRecordSequence")
    if records is None:
        raise InputError(str(dicomdir), "is no DICOM index (it lists no records)", "give the folder instead")
    for record in records:
        parts = words(record, "ReferencedFileID")
        if not parts:
            continue
        path = base.joinpath(*parts)
        if ".." in parts or base not in path.resolve().parents:
            skipped.append(Skipped(str(path), "listed in the index, but outside its folder", problem=True))
        elif not path.is_file():
            skipped.append(Skipped(str(path), "listed in the index, but missing", problem=True))
        else:
            yield path
