"""What is in SOURCE: CT series, volume files, and everything else by name with the reason why it is not used."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io import archive
from med_stylesr.io.dicomdir import listed_files
from med_stylesr.io.grouping import group
from med_stylesr.io.header import HeaderFile, looks_like_dicom, read_header
from med_stylesr.io.series import DicomSeries, Skipped
from med_stylesr.io.volume_file import volume_ending

_DETACHED: Final = (".raw", ".zraw", ".raw.gz")
_DICOM_ENDINGS: Final = (".dcm", ".dicom", ".ima")
_PAIRS: Final = {".hdr": ".img", ".img": ".hdr", ".hdr.gz": ".img.gz", ".img.gz": ".hdr.gz"}
"""Endings of the two files of an Analyze or a NIfTI image, and of the other one."""
_START_BYTES: Final = 256


@dataclass(frozen=True)
class VolumeFile:
    """A volume in one file.

    Attributes:
        path: where it can be read.
        relative: its path below SOURCE, for the same tree below DEST.
    """

    path: Path
    relative: Path


@dataclass
class Inputs:
    """What SOURCE holds; a context manager that removes what archives were unpacked to.

    Attributes:
        series: CT series, one entry a volume.
        volumes: volume files.
        skipped: everything that is not used, with the reason.
    """

    series: list[DicomSeries] = field(default_factory=list)
    volumes: list[VolumeFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    _unpacked: list[Path] = field(default_factory=list, repr=False)

    def __enter__(self) -> Inputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what archives were unpacked to; series found in them can then no longer be read."""
        while self._unpacked:
            shutil.rmtree(self._unpacked.pop(), ignore_errors=True)


def find_inputs(source: Path) -> Inputs:
    """Find CT series and volume files in a folder, file, archive or DICOMDIR, or a tree of all of them.

    Only headers are read. Links are followed, loops are not; devices, pipes and sockets are never opened. Archives are
    unpacked to a temporary folder (TMPDIR says where) that `Inputs.close` removes.

    Raises:
        UsageError: if `source` does not exist or holds nothing usable.
    """
    if not source.exists():
        raise UsageError(str(source), "does not exist", "check SOURCE")
    inputs = Inputs()
    try:
        headers: list[HeaderFile] = []
        _search(source, source if source.is_dir() else source.parent, inputs, headers, inside_archive=False)
        series, skipped = group(headers)
        inputs.series.extend(series)
        inputs.skipped.extend(skipped)
        if not inputs.series and not inputs.volumes:
            raise UsageError(str(source), f"nothing usable in it{_first_reasons(inputs.skipped)}", "check SOURCE")
    except BaseException:
        inputs.close()
        raise
    return inputs


def _first_reasons(skipped: list[Skipped], limit: int = 3) -> str:
    counted: dict[str, int] = {}
    for one in sorted(skipped, key=lambda s: not s.problem):
        counted[one.reason] = counted.get(one.reason, 0) + 1
    told = [f"{reason} ({n}x)" if n > 1 else reason for reason, n in list(counted.items())[:limit]]
    return f" ({', '.join(told)}{', …' if len(counted) > limit else ''})" if told else " (it is empty)"


def _search(place: Path, root: Path, inputs: Inputs, headers: list[HeaderFile], inside_archive: bool) -> None:
    if place.name.upper() == "DICOMDIR" and place.is_file():
        paths = listed_files(place, inputs.skipped)
    else:
        paths = _walk(place, inputs.skipped)
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            _take(path, root, inputs, headers, seen, inside_archive)
        except InputError as error:
            inputs.skipped.append(Skipped(error.what, f"{error.why}; {error.todo}", problem=True))
        except OSError as error:
            inputs.skipped.append(Skipped(str(path), f"cannot be read ({error.strerror or error})", problem=True))


def _walk(place: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Regular files below a place in order of their names; every folder is entered once, links included."""
    entered: set[tuple[int, int]] = set()
    waiting = [place]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) not in entered:
                    entered.add((status.st_dev, status.st_ino))
                    waiting.extend(sorted((Path(e.path) for e in os.scandir(path)), reverse=True))
            elif stat.S_ISREG(status.st_mode):
                yield path
            else:
                skipped.append(Skipped(str(path), "neither file nor folder (pipe, socket or device)"))
        except OSError as error:
            skipped.append(Skipped(str(path), f"cannot be read ({error.strerror or error})", problem=True))


def _take(
    path: Path,
    root: Path,
    inputs: Inputs,
    headers: list[HeaderFile],
    seen: set[tuple[int, int]],
    inside_archive: bool,
) -> None:
    status = path.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        inputs.skipped.append(Skipped(str(path), "the same file as another one (link)"))
        return
    seen.add(identity)
    lower = path.name.lower()
    if volume_ending(path):
        inputs.volumes.append(VolumeFile(path, path.relative_to(root)))
    elif archive.is_archive(path):
        if inside_archive:
            inputs.skipped.append(Skipped(str(path), "an archive in an archive; unpack it yourself"))
            return
        folder = Path(tempfile.mkdtemp(prefix="med-stylesr-"))
        inputs._unpacked.append(folder)
        refused = archive.unpack(path, folder)
        inputs.skipped.extend(Skipped(*one) for one in refused)
        if not refused and not any(folder.iterdir()):
            inputs.skipped.append(Skipped(str(path), "empty archive"))
        _search(folder, folder, inputs, headers, inside_archive=True)
    elif status.st_size == 0:
        promised = lower.endswith(_DICOM_ENDINGS)
        reason = "empty file, though named like DICOM; copy or export it again" if promised else "empty file"
        inputs.skipped.append(Skipped(str(path), reason, problem=promised))
    else:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
        if looks_like_dicom(start):
            headers.append(read_header(path))
        elif lower.endswith(_DICOM_ENDINGS):
            reason = "named like DICOM, but holds none (overwritten or cut off?); copy or export it again"
            inputs.skipped.append(Skipped(str(path), reason, problem=True))
        else:
            inputs.skipped.append(Skipped(str(path), _why_not(path)))


def _why_not(path: Path) -> str:
    """Why a file that is neither DICOM nor named like a volume is not used."""
    lower = path.name.lower()
    if lower.endswith(_DETACHED):
        return "voxel data of a header file beside it"
    for ending, other in _PAIRS.items():
        if lower.endswith(ending) and path.with_name(path.name[: -len(ending)] + other).is_file():
            return "one of a pair of .hdr and .img files, which are not read; convert them to one .nii file"
    return "no DICOM or volume file"
