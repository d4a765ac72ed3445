"""Files and folders that survive a power failure: what a program has closed is still in the system's memory alone."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_CANNOT: Final = frozenset(
    getattr(errno, name) for name in ("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS") if hasattr(errno, name)
)
"""What file systems answer that know no such request (some network and user-space ones)."""
_AT_A_TIME: Final = 8
_BINARY: Final = getattr(os, "O_BINARY", 0)


def sync_file(path: Path) -> None:
    """Wait until the contents of a file are on the disk.

    Raises:
        OSError: if they cannot get there (a full or failing disk may say so only now).
    """
    # Windows syncs only what is open for writing.
    _sync(path, os.O_RDWR | _BINARY)


def sync_folder(folder: Path) -> None:
    """Wait until names in a folder are on the disk: new, renamed and removed ones; no such thing exists on Windows.

    Raises:
        OSError: as `sync_file`.
    """
    if os.name != "nt":
        _sync(folder, os.O_RDONLY)


def sync_tree(place: Path) -> None:
    """Wait until a file, or a folder with everything below it, is on the disk, but for its own name.

    Raises:
        OSError: as `sync_file`.
    """
    if not place.is_dir():
        sync_file(place)
        return
    # Several at a time share the journal's commits and the disk's flushes: four times as fast as one after the other.
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for folder, _, files in os.walk(place):
            list(pool.map(sync_file, [Path(folder, name) for name in files]))
            sync_folder(Path(folder))


def make_folder(folder: Path) -> None:
    """Make a folder and those around it, where they are missing, to stay.

    Raises:
        OSError: if it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)
