"""One file at a time: cleaning it, writing it whole, and reading it back."""

from __future__ import annotations

import contextlib
import os
import pathlib
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.deid.bytesearch import ByteSearch
from med_stylesr.deid.context import Counts
from med_stylesr.deid.deidentifier import Deidentifier
from med_stylesr.deid.reading import kind_of, read_dicom
from med_stylesr.deid.verify import verify_file
from med_stylesr.deid.volumes import clean_volume_header, volume_ending
from med_stylesr.errors import InputError

PARTIAL: Final = ".partial-"
MAPPED: Final = ("PatientID", "AccessionNumber", "StudyID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass
class Outcome:
    """What became of one file.

    Attributes:
        source: path as given.
        written: path of the output below the destination, or None.
        reason: why there is none.
        problem: whether that is to be looked at; a file that is no image is none.
        leaks: where the written bytes held an identifier; the output was then removed.
        counts: actions by tag.
        mapping: original and new identifiers, for the key holder.
    """

    source: str
    written: str | None = None
    reason: str = ""
    problem: bool = True
    leaks: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    mapping: list[tuple[str, str]] = field(default_factory=list)


def harvest_file(path: pathlib.Path, deidentifier: Deidentifier) -> None:
    """Collect the identifiers of one DICOM file; a file that cannot be read gives none and is refused later."""
    try:
        if kind_of(path) == "dicom":
            deidentifier.harvest(read_dicom(path, header_only=True))
    except (InputError, OSError):
        return
    except Exception:
        # A header that breaks here breaks in clean_file too, which tells of it.
        return


def clean_file(
    path: pathlib.Path,
    relative: str,
    dest: pathlib.Path | None,
    deidentifier: Deidentifier,
    search: ByteSearch,
    *,
    overwrite: bool,
) -> Outcome:
    """Clean one file into `dest` and read it back.

    Args:
        path: the source.
        relative: its path below the source folder; the name of a volume's output is made of it.
        dest: destination folder, or None for a dry run.
        deidentifier: after the harvest of all files.
        search: looks for leaks in what was written.
        overwrite: replace an output that exists.

    Returns:
        What became of it; nothing is raised for a file that cannot be cleaned.
    """
    outcome = Outcome(str(path))
    deidentifier.counts.clear()
    try:
        kind = kind_of(path)
        if kind == "dicom":
            dataset = read_dicom(path, header_only=False)
            cleaned = deidentifier.clean(dataset)
            name, content = f"{cleaned.patient}/{cleaned.series}/{cleaned.sop_instance}.dcm", cleaned.file()
            outcome.mapping = mapping_of(dataset, deidentifier)
        elif kind == "volume":
            ending = volume_ending(path.name) or ""
            name = deidentifier.safe_name(relative) + ending
            content = clean_volume_header(path.read_bytes(), ending)
        else:
            dropped = "a DICOMDIR is left out: make a new one for the output"
            outcome.reason, outcome.problem = (dropped if kind == "dicomdir" else kind), False
            return outcome
        outcome.counts = Counts(deidentifier.counts)
        outcome.written = name
        if dest is not None:
            outcome.leaks = _publish(content, dest, name, search, overwrite)
            if outcome.leaks:
                outcome.written, outcome.reason = None, "an identifier was found in " + ", ".join(outcome.leaks)
    except InputError as error:
        outcome.written, outcome.reason = None, f"{error.what}: {error.why}"
    except OSError as error:
        outcome.written, outcome.reason = None, f"cannot be read or written ({error.strerror})"
    except Exception as error:
        # Fail closed: whatever a malformed file provokes, it is named and not passed on.
        outcome.written, outcome.reason = None, f"is malformed ({type(error).__name__})"
    return outcome


def mapping_of(dataset: Dataset, deidentifier: Deidentifier) -> list[tuple[str, str]]:
    """(original, new) of the identifiers of one object, for the holder of the key."""
    cleaned = deidentifier.new_identifiers(dataset)
    return [(str(dataset.get(k, "")), cleaned[k]) for k in MAPPED if str(dataset.get(k, "") or "") and k in cleaned]


def _publish(content: bytes, dest: pathlib.Path, name: str, search: ByteSearch, overwrite: bool) -> list[str]:
    final = dest / name
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.parent / f"{PARTIAL}{os.getpid()}-{final.name}"
    try:
        partial.write_bytes(content)
        leaks = verify_file(partial, search)
        if leaks:
            return leaks
        if overwrite:
            os.replace(partial, final)
        elif not _link(partial, final) and final.read_bytes() != content:
            raise InputError("output", "another object with the same identifiers was written before")
    finally:
        partial.unlink(missing_ok=True)
        if not final.exists():
            with contextlib.suppress(OSError):
                for folder in final.parents[: name.count("/")]:
                    folder.rmdir()
    return []


def _link(partial: pathlib.Path, final: pathlib.Path) -> bool:
    """Give the file its name unless something has it already."""
    try:
        os.link(partial, final)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links.
        if final.exists():
            return False
        os.replace(partial, final)
    return True
