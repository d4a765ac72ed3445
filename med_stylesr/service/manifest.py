"""`manifest.json`: the record of DEST, and what `--resume` goes by. Schema: docs/reference/manifest.md."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from med_stylesr import __version__
from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.durable import sync_folder
from med_stylesr.io.publish import RECORD, recovered, remove_leftovers

NAME: Final = "manifest.json"
DONE: Final = "done"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
RUNNING: Final = "running"
_SAVE_SHARE: Final = 20
"""Saving may take one part in so many of a run's time."""


@dataclass
class Entry:
    """One input and what became of it.

    Attributes:
        source: path or series in words.
        kind: "dicom", "volume" or "other".
        status: "done", "failed", "skipped", or "running" (planned or under way, in a manifest of an interrupted run).
        reason: why it failed or was skipped.
        fingerprint: identifies input and settings together: a done entry with the same one need not be done again.
        warnings: what the reader of the output must know.
        outputs: paths relative to DEST; a series is told by its folder.
        facts: what was done, in numbers.
        seconds: time taken.
        created: moment that dates and times in the output tell; that of the run which first planned it.
        quarantined: whether it killed its worker twice, so that no later run tries it again unasked.
    """

    source: str
    kind: str
    status: str
    reason: str = ""
    fingerprint: str = ""
    warnings: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    created: str = ""
    quarantined: bool = False


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left in DEST.

    Attributes:
        arguments: its arguments.
        done: entries that are done and whose outputs are still there.
        quarantined: entries that are not to be tried again.
        begun: moments of creation by the fingerprints of what was planned and not finished.
        records: files that announce outputs which the manifest did not know of; to be removed once it does.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    done: tuple[Entry, ...] = ()
    quarantined: tuple[Entry, ...] = ()
    begun: Mapping[str, str] = field(default_factory=dict)
    records: tuple[Path, ...] = ()


class Manifest:
    """The record of DEST; written whole after every change.

    Args:
        dest: output folder.
        command: verb, for the record.
        arguments: resolved arguments, JSON-able.
        kept: entries of earlier runs; one gives way to an entry with its fingerprint or an output of the same name.

    Attributes:
        entries: those of this run.
    """

    def __init__(self, dest: Path, command: str, arguments: Mapping[str, Any], kept: tuple[Entry, ...] = ()) -> None:
        self._path = dest / NAME
        self._head = {
            "schema": "med-stylesr/manifest/1",
            "tool": {"name": "med-stylesr", "version": __version__},
            "command": command,
            "arguments": dict(arguments),
            "started": _now(),
        }
        self._kept = list(kept)
        self._unsaved: list[Path] = []
        self._saved, self._save_seconds = 0.0, 0.0
        self.entries: list[Entry] = []

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the one for the same input, without saving."""
        places = set(entry.outputs)
        self._kept = [e for e in self._kept if not (_same(e, entry) or places & set(e.outputs))]
        for i, known in enumerate(self.entries):
            if (entry.fingerprint, entry.source, entry.kind) == (known.fingerprint, known.source, known.kind):
                self.entries[i] = entry
                break
        else:
            self.entries.append(entry)

    def set(self, entry: Entry) -> None:
        """Add an entry, or replace the one for the same input, and save soon.

        What is not saved yet is in a record of its own (see `record_path`), so a kill loses nothing; writing a long
        manifest after each of thousands of scans would take longer than the scans.

        Raises:
            InputError: if the file cannot be written.
        """
        self.put(entry)
        self._unsaved.append(record_path(self._path.parent, entry.fingerprint))
        if time.monotonic() - self._saved >= _SAVE_SHARE * self._save_seconds:
            self.save()

    def save(self) -> None:
        """Write the file under a temporary name, then rename it; remove the records of what it now holds.

        Raises:
            InputError: if it cannot be written.
        """
        started = time.monotonic()
        everything = [*self.entries, *self._kept]
        counts = {status: sum(e.status == status for e in everything) for status in (DONE, FAILED, SKIPPED)}
        whole = {**self._head, "updated": _now(), "counts": counts, "series": [vars(e) for e in everything]}
        partial = self._path.with_name(f".partial-{os.getpid()}-{NAME}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as file:
                json.dump(whole, file, indent=1, ensure_ascii=True, default=str)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._path)
            sync_folder(self._path.parent)
            while self._unsaved:
                self._unsaved.pop().unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            why = f"cannot be written ({error.strerror or error})"
            todo = "make room or check the permissions, then run again with --resume"
            raise InputError(str(self._path), why, todo) from error
        self._saved = time.monotonic()
        self._save_seconds = self._saved - started

    def series_folders(self) -> list[str]:
        """Folders of all DICOM results, relative to DEST."""
        done = [entry for entry in (*self.entries, *self._kept) if entry.status == DONE and entry.kind == "dicom"]
        places = [place for entry in done for place in entry.outputs]
        return [place for place in places if (self._path.parent / place).is_dir()]

    def adopt(self, records: Sequence[Path]) -> None:
        """Remove these records with the next save: their entries are among the kept ones."""
        self._unsaved.extend(records)


def _same(one: Entry, other: Entry) -> bool:
    # What was skipped has no fingerprint.
    return one.fingerprint == other.fingerprint and bool(one.fingerprint)


def record_path(dest: Path, fingerprint: str) -> Path:
    """Where a finished input is announced until the manifest holds it."""
    return dest / f"{RECORD}{fingerprint[:32]}.json"


def read_earlier(dest: Path) -> Earlier:
    """What the manifest in DEST says of earlier runs; nothing if there is none.

    Raises:
        UsageError: if the file there is no manifest.
    """
    path = dest / NAME
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        entries = [Entry(**item) for item in whole["series"]]
        return Earlier(
            arguments=dict(whole["arguments"]),
            done=tuple(e for e in entries if e.status == DONE and all((dest / o).exists() for o in e.outputs)),
            quarantined=tuple(e for e in entries if e.quarantined),
            begun={e.fingerprint: e.created for e in entries if e.status == RUNNING and e.created},
        )
    except FileNotFoundError:
        return Earlier()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError(str(path), f"is no manifest of this program ({error})", "move it away") from error


def take_over(dest: Path) -> Earlier:
    """Finish or clear away what a killed run left in DEST, and tell what all earlier runs did; for `sole_use` only.

    Raises:
        UsageError: if the manifest there is none.
    """
    earlier = read_earlier(dest)
    if not dest.is_dir():
        return earlier
    found: dict[str, Entry] = {}
    records = tuple(sorted(dest.glob(f"{RECORD}*.json")))
    for record in records:
        told = recovered(record)
        if told is not None:
            with suppress(TypeError):
                entry = Entry(**told)
                found[entry.fingerprint] = entry
    remove_leftovers(dest)
    known = tuple(entry for entry in earlier.done if entry.fingerprint not in found)
    return replace(earlier, done=(*known, *found.values()), records=records)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
