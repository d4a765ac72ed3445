"""The record of a streaming run in DEST: beside what earlier runs did, and resumed like theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from med_stylesr.service.lock import sole_use
from med_stylesr.service.manifest import RUNNING, Earlier, Entry, Manifest, take_over
from med_stylesr.service.settings import EnhanceSettings


@dataclass(frozen=True)
class StreamRecord:
    """What is recorded of a run, and what earlier ones have done.

    Attributes:
        manifest: of this run; entries of earlier ones stay in it.
        earlier: what they left.
        settings: of this run.
    """

    manifest: Manifest
    earlier: Earlier
    settings: EnhanceSettings

    def entry(self, kind: str, name: str, identity: str, digests: Sequence[str]) -> Entry:
        """A new entry for an input.

        Args:
            kind: see `Entry`.
            name: of the input, for people.
            identity: tells its content.
            digests: of weights and tables in use.
        """
        # A stream has one strength for all frames, so its results are not those of the same input without --stream.
        return Entry(name, kind, RUNNING, fingerprint=self.settings.fingerprint(f"stream\n{identity}", digests))

    def done(self, entry: Entry) -> Entry | None:
        """The same work as an earlier run has done it, entered into the manifest; None if none has."""
        for known in self.earlier.done:
            if known.fingerprint == entry.fingerprint:
                self.manifest.set(known)
                return known
        return None


@contextmanager
def record_of(dest: Path, source: Path, settings: EnhanceSettings) -> Iterator[StreamRecord]:
    """The record of a run into DEST, which nobody else uses meanwhile.

    Raises:
        UsageError: if another run is using DEST, or the manifest there is none.
    """
    with sole_use(dest):
        earlier = take_over(dest)
        arguments = {"source": str(source), "stream": True, "jobs": 1, **settings.record()}
        manifest = Manifest(dest, "enhance", arguments, earlier.done)
        manifest.adopt(earlier.records)
        yield StreamRecord(manifest, earlier, settings)


__all__ = ["StreamRecord", "record_of"]
