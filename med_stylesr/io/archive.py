"""Zip and tar archives, unpacked into a temporary folder within bounds; nothing is written outside it."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from med_stylesr.errors import InputError
from med_stylesr.io.names import safe_component

ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_MEMBERS: Final = 200_000
MAX_RATIO: Final = 200
"""Unpacked to packed bytes above which an archive is a bomb: deflate reaches 1000, padded CT slices about 20."""
RATIO_FROM_BYTES: Final = 256 << 20
"""Archives that unpack to less than this are harmless whatever their ratio."""
FREE_SHARE: Final = 0.8
"""Share of the temporary folder's free space that unpacking may take."""
_CHUNK: Final = 1 << 20
_TOO_MUCH: Final = "unpacks to more than its size or the free space of the temporary folder allows"
_UNPACK: Final = "unpack it yourself and give the folder"


class Refused(NamedTuple):
    """A member of an archive that is not unpacked, and why."""

    name: str
    reason: str


def is_archive(path: Path) -> bool:
    """Whether the name ends like that of an archive that can be read."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, into: Path) -> list[Refused]:
    """Unpack the regular files of an archive below `into`, keeping its tree with names made safe.

    Links, devices, encrypted members and names that lead outside are refused one by one.

    Raises:
        InputError: if the archive is damaged, a bomb, or does not fit the free space.
    """
    refused: list[Refused] = []
    name = str(archive)
    budget = _budget(archive, into)
    try:
        with closing(_members(archive, budget, refused)) as members:
            for count, (member, stream) in enumerate(members):
                target = _target(member, into)
                if target is None:
                    refused.append(Refused(f"{name}:{member}", "its name leads outside the archive"))
                    continue
                if count >= MAX_MEMBERS:
                    raise InputError(name, f"has more than {MAX_MEMBERS} files", "unpack it and name a folder in it")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as out:
                    while chunk := stream.read(_CHUNK):
                        budget -= len(chunk)
                        if budget < 0:
                            raise InputError(name, _TOO_MUCH, _UNPACK)
                        out.write(chunk)
    except InputError:
        raise
    except FileExistsError as error:
        raise InputError(
            name, f"holds two files with the name {Path(error.filename).name}", "unpack it yourself"
        ) from error
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise InputError(name, f"cannot be unpacked ({error})", "copy it again or unpack it yourself") from error
    except Exception as error:
        # zlib.error and lzma.LZMAError share no base class.
        raise InputError(name, f"is damaged ({error})", "copy it again") from error
    return refused


def _budget(archive: Path, into: Path) -> int:
    free = int(shutil.disk_usage(into).free * FREE_SHARE)
    return min(free, max(RATIO_FROM_BYTES, archive.stat().st_size * MAX_RATIO))


def _target(member: str, into: Path) -> Path | None:
    parts = PurePosixPath(member.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in member:
        return None
    return into.joinpath(*(safe_component(part, "unnamed", 128) for part in parts))


def _members(archive: Path, budget: int, refused: list[Refused]) -> Generator[tuple[str, IO[bytes]], None, None]:
    if archive.name.lower().endswith(".zip"):
        yield from _zip_members(archive, budget, refused)
    else:
        yield from _tar_members(archive, refused)


def _zip_members(archive: Path, budget: int, refused: list[Refused]) -> Generator[tuple[str, IO[bytes]], None, None]:
    with zipfile.ZipFile(archive) as file:
        if sum(info.file_size for info in file.infolist()) > budget:
            raise InputError(str(archive), _TOO_MUCH, _UNPACK)
        for info in file.infolist():
            if info.is_dir():
                continue
            unix_type = (info.external_attr >> 16) & 0o170000
            if unix_type not in (0, 0o100000):
                refused.append(Refused(f"{archive}:{info.filename}", "a link or device"))
            elif info.flag_bits & 1:
                refused.append(Refused(f"{archive}:{info.filename}", "encrypted; unpack it with its password"))
            else:
                with file.open(info) as stream:
                    yield info.filename, stream


def _tar_members(archive: Path, refused: list[Refused]) -> Generator[tuple[str, IO[bytes]], None, None]:
    with tarfile.open(archive, "r|*") as file:
        for info in file:
            if info.isdir():
                continue
            stream = file.extractfile(info) if info.isreg() else None
            if stream is None:
                refused.append(Refused(f"{archive}:{info.name}", "a link or device"))
            else:
                yield info.name, stream
