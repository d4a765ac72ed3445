"""One file at a time: reading it safely, cleaning it, writing it whole, and reading it back."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import warnings
import zlib
from dataclasses import dataclass, field
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from med_stylesr.deid.bytesearch import ByteSearch
from med_stylesr.deid.context import Counts
from med_stylesr.deid.deidentifier import Deidentifier
from med_stylesr.deid.verify import verify_file
from med_stylesr.deid.volumes import clean_volume_header, volume_ending
from med_stylesr.errors import InputError

MAX_INFLATED: Final = 2 << 30
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


def kind_of(path: pathlib.Path) -> str:
    """'dicom', 'dicomdir', 'volume', or why the file is not read.

    The file is opened without following a link and without waiting, so that a pipe cannot hang the run.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY"):
        # No system has all of them.
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "it is no regular file"
        start = os.read(handle, 4096)
    finally:
        os.close(handle)
    if volume_ending(path.name):
        return "volume"
    if start[128:132] != b"DICM":
        return "it is neither DICOM nor a volume file with its header inside"
    # Media Storage Directory Storage: the directory's records repeat identifiers and would name files that are gone.
    return "dicomdir" if b"1.2.840.10008.1.3.10" in start or path.name.upper() == "DICOMDIR" else "dicom"


def read_dicom(path: pathlib.Path, *, header_only: bool) -> Dataset:
    """Read a DICOM file within bounds.

    Raises:
        InputError: if it cannot be read, or inflates beyond reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                start = pydicom.filereader.read_partial(file, stop_when=lambda tag, vr, length: True)
                if start.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                    _check_inflated(path, start)
            return pydicom.dcmread(path, stop_before_pixels=header_only)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError("DICOM", "sequences are nested without end") from error
    except Exception as error:
        raise InputError("DICOM", f"cannot be read ({type(error).__name__})") from error


def _check_inflated(path: pathlib.Path, start: Dataset) -> None:
    length = 144 + int(start.file_meta.get("FileMetaInformationGroupLength", 0) or 0)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(path.read_bytes()[length:], MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise InputError("DICOM", "its deflated data set is larger than can be read")


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
