"""Fetches studies from a DICOMweb service into a folder, and sends folders to one; both can be gone on with."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.attributes import word
from med_stylesr.io.header import looks_like_dicom, read_header
from med_stylesr.io.publish import remove_leftovers, staged_file
from med_stylesr.service.pacs.dicomweb import WebService

Tell = Callable[[str], None]
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_MAX_UID: Final = 64
_TRIES: Final = 3
_IN_A_ROW: Final = 3
"""After so many failures one after the other nothing else is tried."""


@dataclass
class Tally:
    """What became of a transfer.

    Attributes:
        done: images transferred.
        there: images that were at their place already.
        failed: one line for each failure.
    """

    done: int
    there: int
    failed: list[str]


def pull(service: WebService, study: str, series: Sequence[str], dest: Path, tell: Tell) -> Tally:
    """Fetch a study, or some of its series, into `DEST/<SeriesInstanceUID>/<SOPInstanceUID>.dcm`.

    Each file appears whole or not at all, so that those that are there need not be fetched again.

    Raises:
        UsageError: if a UID is none, or the service knows nothing under it.
        InputError: if the service does not answer, or the disk is full.
    """
    for uid in (study, *series):
        _require_uid(uid, "check --study and --series")
    found = [one for wanted in (series or (None,)) for one in service.instances(study, wanted)]
    if not found:
        raise UsageError(service.name, "has no images of this study or series", "check --study and --series")
    for place in found:
        for uid in place:
            _require_uid(uid, "do not trust this service")
    remove_leftovers(dest)
    tally, in_a_row = Tally(0, 0, []), 0
    for number, (series_uid, image) in enumerate(found, start=1):
        final = dest / series_uid / f"{image}.dcm"
        if final.exists():
            tally.there += 1
            continue
        try:
            data = _persistently(lambda: service.retrieve(study, series_uid, image))  # noqa: B023 - called at once
        except InputError as error:
            tally.failed.append(f"image {image}: {error.why}")
            in_a_row += 1
            if in_a_row == _IN_A_ROW:
                break
            continue
        in_a_row = 0
        final.parent.mkdir(parents=True, exist_ok=True)
        with staged_file(final, overwrite=False) as partial:
            partial.write_bytes(data)
        tally.done += 1
        if number % 50 == 0 or number == len(found):
            tell(f"{number} of {len(found)} images")
    return tally


def _persistently(fetch: Callable[[], bytes]) -> bytes:
    for _ in range(_TRIES - 1):
        try:
            return fetch()
        except InputError:
            continue
    return fetch()


def push(service: WebService, source: Path, everything: bool, tell: Tell) -> Tally:
    """Send all DICOM files of a folder to a service, series by series.

    Args:
        service: where to.
        source: folder or file; only read.
        everything: send also what the service has already.
        tell: receives lines for the screen.

    Raises:
        UsageError: if there is no DICOM file in `source`.
        InputError: if the service does not answer.
    """
    if not source.exists():
        raise UsageError(str(source), "does not exist", "check FOLDER")
    tally = Tally(0, 0, [])
    by_series: dict[tuple[str, str], dict[str, Path]] = {}
    for path in _files(source):
        try:
            header = read_header(path).header
        except InputError as error:
            tally.failed.append(str(error))
            continue
        place = word(header, "StudyInstanceUID"), word(header, "SeriesInstanceUID")
        known = by_series.setdefault(place, {})
        uid = word(header, "SOPInstanceUID")
        if uid in known:
            tally.failed.append(f"{path}: has the UID of {known[uid]}; only that one is sent")
        else:
            known[uid] = path
    if not by_series:
        raise UsageError(str(source), "holds no DICOM file", "check FOLDER")
    in_a_row = 0
    for number, ((study, series), files) in enumerate(sorted(by_series.items()), start=1):
        before = tally.done
        try:
            there = set() if everything else {image for _, image in service.instances(study, series)}
            missing = [path for uid, path in files.items() if uid not in there]
            tally.there += len(files) - len(missing)
            for confirmed in service.store(missing):
                tally.done = before + confirmed
            in_a_row = 0
        except InputError as error:
            tally.failed.append(f"series {series}: {error.why}; {error.todo}")
            in_a_row += 1
            if in_a_row == _IN_A_ROW:
                break
        tell(f"{number} of {len(by_series)} series")
    return tally


def _files(source: Path) -> Iterator[Path]:
    """DICOM files below a place, in order of their names; text files, pictures and links are none."""
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink() and _starts_as_dicom(path) and path.name != "DICOMDIR":
                yield path


def _starts_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return looks_like_dicom(file.read(136))
    except OSError:
        return False


def _require_uid(uid: str, todo: str) -> None:
    """UIDs become names of folders, and parts of URLs."""
    if len(uid) > _MAX_UID or not _UID.fullmatch(uid):
        raise UsageError(f"UID {uid}", "is no DICOM UID", todo)
