"""`manifest.json`: the record of a run, and what `--resume` goes by. Schema: docs/reference/manifest.md."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from med_stylesr import __version__
from med_stylesr.errors import UsageError

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
        status: "done", "failed", "skipped", or "running" (in a manifest of an interrupted run).
        reason: why it failed or was skipped.
        fingerprint: identifies input and settings together: a done entry with the same one need not be done again.
        warnings: what the reader of the output must know.
        outputs: paths relative to DEST.
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


class Manifest:
    """The record of a run in DEST; written whole after every change.

    Args:
        dest: output folder.
        command: verb, for the record.
        arguments: resolved arguments, JSON-able.
    """

    def __init__(self, dest: Path, command: str, arguments: Mapping[str, Any]) -> None:
        self._path = dest / NAME
        self._head = {
            "schema": "med-stylesr/manifest/1",
            "tool": {"name": "med-stylesr", "version": __version__},
            "command": command,
            "arguments": dict(arguments),
            "started": _now(),
        }
        self.entries: list[Entry] = []

    def set(self, entry: Entry) -> None:
        """Add an entry, or replace the one with the same source and kind, and save."""
        for i, known in enumerate(self.entries):
            if (known.source, known.kind) == (entry.source, entry.kind):
                self.entries[i] = entry
                break
        else:
            self.entries.append(entry)
        self.save()

    def save(self) -> None:
        """Write the file under a temporary name, then rename it."""
        counts = {status: sum(e.status == status for e in self.entries) for status in (DONE, FAILED, SKIPPED)}
        whole = {**self._head, "updated": _now(), "counts": counts, "series": [vars(e) for e in self.entries]}
        partial = self._path.with_name(f".partial-{os.getpid()}-{NAME}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            json.dump(whole, file, indent=1, ensure_ascii=False, default=str)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path)


def earlier_entries(dest: Path) -> dict[str, Entry]:
    """Entries of an earlier run's manifest in DEST by fingerprint; empty if there is none.

    Raises:
        UsageError: if the file there is no manifest.
    """
    path = dest / NAME
    try:
        series = json.loads(path.read_text(encoding="utf-8"))["series"]
        entries = [Entry(**item) for item in series]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError(str(path), f"is no manifest of this program ({error})", "move it away") from error
    return {entry.fingerprint: entry for entry in entries if entry.fingerprint}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
