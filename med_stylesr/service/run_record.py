"""The record of a run in DEST: beside what earlier runs did there, and resumed like theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med_stylesr.service.lock import sole_use
from med_stylesr.service.manifest import Earlier, Entry, Manifest, take_over


@dataclass(frozen=True)
class RunRecord:
    """What is recorded of a run, and what earlier ones have done.

    Attributes:
        manifest: of this run; entries of earlier ones stay in it.
        earlier: what they left.
    """

    manifest: Manifest
    earlier: Earlier

    def done(self, entry: Entry) -> Entry | None:
        """The same work as an earlier run has done it, entered into the manifest; None if none has."""
        for known in self.earlier.done:
            if known.fingerprint == entry.fingerprint:
                self.manifest.set(known)
                return known
        return None


@contextmanager
def run_record(dest: Path, command: str, arguments: Mapping[str, Any]) -> Iterator[RunRecord]:
    """The record of a run into DEST, which nobody else uses meanwhile.

    Args:
        dest: output folder; made if needed.
        command: verb.
        arguments: see `Manifest`.

    Raises:
        UsageError: if another run is using DEST, or the manifest there is none.
        InputError: if DEST cannot be made.
    """
    with sole_use(dest):
        earlier = take_over(dest)
        manifest = Manifest(dest, command, arguments, earlier.done)
        manifest.adopt(earlier.records)
        yield RunRecord(manifest, earlier)


__all__ = ["RunRecord", "run_record"]
