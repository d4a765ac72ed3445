"""Output that appears whole or not at all: written under a temporary name beside its place, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError

PARTIAL: Final = ".partial-"
"""Start of the name of everything unfinished; names made of header values never start with a dot."""


@contextmanager
def staged_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder to fill; it becomes `final` when the block ends well and vanishes when it does not.

    Raises:
        UsageError: if `final` exists and `overwrite` is off.
        InputError: if the disk is full or not writable.
    """
    partial = _partial(final, overwrite)
    try:
        partial.mkdir()
        yield partial
        _replace(partial, final)
    except OSError as error:
        raise _disk_error(final, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def staged_file(final: Path, overwrite: bool) -> Iterator[Path]:
    """A path to write to, with the same ending as `final`; it becomes `final` when the block ends well.

    Raises:
        UsageError: if `final` exists and `overwrite` is off.
        InputError: if the disk is full or not writable.
    """
    partial = _partial(final, overwrite)
    try:
        yield partial
        os.replace(partial, final)
    except OSError as error:
        raise _disk_error(final, error) from error
    finally:
        partial.unlink(missing_ok=True)


def remove_leftovers(dest: Path) -> list[Path]:
    """Remove what an interrupted run left unfinished below `dest`; returns what was removed."""
    removed = []
    for folder, folders, files in os.walk(dest):
        for name in [n for n in folders if n.startswith(PARTIAL)]:
            folders.remove(name)
            shutil.rmtree(Path(folder, name), ignore_errors=True)
            removed.append(Path(folder, name))
        for name in [n for n in files if n.startswith(PARTIAL)]:
            Path(folder, name).unlink(missing_ok=True)
            removed.append(Path(folder, name))
    return removed


def check_apart(source: Path, dest: Path) -> None:
    """Make sure that DEST and SOURCE do not lie in each other, whatever links lead there.

    Raises:
        UsageError: if they do, or DEST exists and is no folder.
    """
    real_source, real_dest = source.resolve(), dest.resolve()
    if real_dest == real_source or real_source in real_dest.parents:
        raise UsageError(str(dest), "DEST lies in SOURCE, so output would be taken for input", "choose another DEST")
    if real_source.is_dir() and real_dest in real_source.parents:
        raise UsageError(str(dest), "SOURCE lies in DEST, so input could be overwritten", "choose another DEST")
    if real_dest.exists() and not real_dest.is_dir():
        raise UsageError(str(dest), "is a file, DEST must be a folder", "choose another DEST")


def _partial(final: Path, overwrite: bool) -> Path:
    if not overwrite and (final.exists() or final.is_symlink()):
        raise UsageError(str(final), "exists already", "use --overwrite, or another DEST")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _disk_error(final, error) from error
    return final.parent / f"{PARTIAL}{os.getpid()}-{final.name}"


def _replace(partial: Path, final: Path) -> None:
    if not final.exists():
        partial.rename(final)
        return
    old = final.parent / f"{PARTIAL}{os.getpid()}-old-{final.name}"
    final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()


def _disk_error(path: Path, error: OSError) -> InputError:
    why = f"cannot be written ({error.strerror or error})"
    return InputError(str(path), why, "make room or check the permissions, then run again with --resume")
