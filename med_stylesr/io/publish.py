"""Output that appears whole or not at all: written under a temporary name beside its place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.durable import make_folder, sync_file, sync_folder, sync_tree

PARTIAL: Final = ".partial-"
"""Start of the name of everything unfinished; names made of header values never start with a dot."""
RECORD: Final = ".published-"
"""Start of the name of records of what has just appeared and is in no book yet."""


class Staging:
    """Outputs that appear together: filled under temporary names, announced in a record, then renamed.

    A context manager; what was not published when it ends is removed. A process that is killed between the record and
    the last rename leaves all that `recovered` needs to finish. Killed before the record, it leaves nothing but
    leftovers. The same is true when the power fails: contents are on the disk before the record is, the record before
    the first rename, and all names before `publish` returns.

    Args:
        overwrite: whether existing output is replaced.
    """

    def __init__(self, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._moves: list[tuple[Path, Path]] = []
        self._announced, self._finished = False, False

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._announced and not self._finished:
            # Past this point an interruption may only make it whole.
            _finish(self._moves)
        elif not self._announced:
            for partial, _ in self._moves:
                _remove(partial)
        if isinstance(error, OSError) and self._moves:
            raise _disk_error(self._moves[0][1], error) from error

    def folder(self, final: Path) -> Path:
        """A new folder to fill, which becomes `final`.

        Raises:
            UsageError: if `final` exists and nothing is to be replaced.
            InputError: if the disk is full or not writable.
        """
        partial = self.file(final)
        try:
            partial.mkdir()
        except OSError as error:
            raise _disk_error(final, error) from error
        return partial

    def file(self, final: Path) -> Path:
        """A path to write to, with the same ending as `final`, which it becomes.

        Raises:
            UsageError: if `final` exists and nothing is to be replaced.
            InputError: if its folder cannot be made.
        """
        self._require_free(final)
        try:
            make_folder(final.parent)
        except OSError as error:
            raise _disk_error(final, error) from error
        partial = final.parent / f"{PARTIAL}{os.getpid()}-{final.name}"
        self._moves.append((partial, final))
        return partial

    def withdraw_all_but(self, places: Collection[Path]) -> None:
        """Give up what is not among these outputs; they still appear."""
        for partial, final in list(self._moves):
            if final not in places:
                _remove(partial)
                self._moves.remove((partial, final))

    def publish(self, record: Path | None = None, told: Mapping[str, Any] | None = None) -> None:
        """Let all outputs appear.

        Args:
            record: file that announces them, in a folder above all of them; whoever keeps the books removes it once
                `told` is entered there. None for outputs that nobody keeps books of.
            told: what the record says of them, JSON-able.

        Raises:
            UsageError: if an output has appeared meanwhile and nothing is to be replaced.
            OSError: if the disk is full or not writable; turned into an InputError at the end of the block.
        """
        for _, final in self._moves:
            self._require_free(final)
        for partial, _ in self._moves:
            if partial.exists():
                sync_tree(partial)
        if record is not None:
            root = record.parent
            moves = [[str(place.relative_to(root)) for place in move] for move in self._moves]
            partial = root / f"{PARTIAL}{os.getpid()}-{record.name}"
            try:
                partial.write_text(json.dumps({"moves": moves, "told": dict(told or {})}, default=str), "utf-8")
                sync_file(partial)
                os.replace(partial, record)
                sync_folder(root)
            finally:
                partial.unlink(missing_ok=True)
            self._announced = True
        _finish(self._moves)
        self._announced, self._finished = True, True

    def _require_free(self, final: Path) -> None:
        if not self._overwrite and (final.exists() or final.is_symlink()):
            raise UsageError(str(final), "exists already", "use --overwrite, or another DEST")


def recovered(record: Path) -> dict[str, Any] | None:
    """Finish what a record announces and a killed process perhaps did not rename; nobody else may be doing so.

    Returns:
        What the record tells of the outputs, or None if there is none, or if they are gone.
    """
    root = record.parent
    try:
        whole = json.loads(record.read_text("utf-8"))
        moves = [(root / partial, root / final) for partial, final in whole["moves"]]
        told = dict(whole["told"])
        _finish(moves)
    except (OSError, ValueError, KeyError, TypeError):
        # Records appear whole, so this one is not ours or its disk is failing: its outputs are done again.
        return None
    return told if all(final.exists() for _, final in moves) else None


@contextmanager
def staged_folder(final: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder to fill; it becomes `final` when the block ends well and vanishes when it does not.

    Raises:
        UsageError: if `final` exists and `overwrite` is off.
        InputError: if the disk is full or not writable.
    """
    with Staging(overwrite) as staging:
        yield staging.folder(final)
        staging.publish()


@contextmanager
def staged_file(final: Path, overwrite: bool) -> Iterator[Path]:
    """A path to write to, with the same ending as `final`; it becomes `final` when the block ends well.

    Raises:
        UsageError: if `final` exists and `overwrite` is off.
        InputError: if the disk is full or not writable.
    """
    with Staging(overwrite) as staging:
        yield staging.file(final)
        staging.publish()


def remove_leftovers(dest: Path, process: int | None = None) -> list[Path]:
    """Remove what an interrupted run, or one process of it, left unfinished below `dest`; returns what was removed.

    What records announce is not unfinished: call `recovered` first.
    """
    start = PARTIAL if process is None else f"{PARTIAL}{process}-"
    removed = []
    for folder, folders, files in os.walk(dest):
        for name in [n for n in folders if n.startswith(start)]:
            folders.remove(name)
            shutil.rmtree(Path(folder, name), ignore_errors=True)
            removed.append(Path(folder, name))
        for name in [n for n in files if n.startswith(start)]:
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


def _finish(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename what is not renamed yet, to stay so."""
    for partial, final in moves:
        if partial.exists():
            _replace(partial, final)
    for folder in {final.parent for _, final in moves}:
        sync_folder(folder)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()


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
    _remove(old)


def _disk_error(path: Path, error: OSError) -> InputError:
    why = f"cannot be written ({error.strerror or error})"
    return InputError(str(path), why, "make room or check the permissions, then run again with --resume")
