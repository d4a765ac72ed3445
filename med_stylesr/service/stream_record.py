"""The record of a streaming run in DEST: beside what earlier runs did, and resumed like theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from med_stylesr.service.manifest import RUNNING, Entry
from med_stylesr.service.run_record import RunRecord, run_record
from med_stylesr.service.settings import EnhanceSettings


@dataclass(frozen=True)
class StreamRecord(RunRecord):
    """What is recorded of a streaming run.

    Attributes:
        settings: of this run.
    """

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


@contextmanager
def record_of(dest: Path, source: Path, settings: EnhanceSettings) -> Iterator[StreamRecord]:
    """The record of a run into DEST, which nobody else uses meanwhile.

    Raises:
        UsageError: if another run is using DEST, or the manifest there is none.
    """
    arguments = {"source": str(source), "stream": True, "jobs": 1, **settings.record()}
    with run_record(dest, "enhance", arguments) as record:
        yield StreamRecord(record.manifest, record.earlier, settings)


__all__ = ["StreamRecord", "record_of"]
