"""`manifest.json`: the record of DEST, and what `--resume` goes by. Schema: docs/reference/manifest.md."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from med_stylesr import __version__
from med_stylesr.errors import InputError, UsageError

NAME: Final = "manifest.json"
DONE: Final = "done"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
RUNNING: Final = "running"


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


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left in DEST.

    Attributes:
        arguments: its arguments.
        done: entries that are done and whose outputs are still there.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    done: tuple[Entry, ...] = ()


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
        self.entries: list[Entry] = []

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the one for the same input, without saving."""
        places = set(entry.outputs)
        self._kept = [e for e in self._kept if e.fingerprint != entry.fingerprint and not places & set(e.outputs)]
        for i, known in enumerate(self.entries):
            if (known.source, known.kind) == (entry.source, entry.kind):
                self.entries[i] = entry
                break
        else:
            self.entries.append(entry)

    def set(self, entry: Entry) -> None:
        """Add an entry, or replace the one for the same input, and save.

        Raises:
            InputError: if the file cannot be written.
        """
        self.put(entry)
        self.save()

    def save(self) -> None:
        """Write the file under a temporary name, then rename it.

        Raises:
            InputError: if it cannot be written.
        """
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
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            why = f"cannot be written ({error.strerror or error})"
            raise InputError(str(self._path), why, "make room or check the permissions, then --resume") from error


def read_earlier(dest: Path) -> Earlier:
    """What the manifest in DEST says of earlier runs; nothing if there is none.

    Raises:
        UsageError: if the file there is no manifest.
    """
    path = dest / NAME
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        entries = [Entry(**item) for item in whole["series"]]
        there = [e for e in entries if e.status == DONE and all((dest / place).exists() for place in e.outputs)]
        return Earlier(dict(whole["arguments"]), tuple(there))
    except FileNotFoundError:
        return Earlier()
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError(str(path), f"is no manifest of this program ({error})", "move it away") from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
