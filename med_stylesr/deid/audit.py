"""The record of a run: what was done to which tag how often and what was held back, without any identifier."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from med_stylesr.deid.context import Counts
from med_stylesr.deid.deidentifier import Deidentifier
from med_stylesr.deid.earlier import key_name
from med_stylesr.deid.files import Outcome
from med_stylesr.deid.table import ps315
from med_stylesr.deid.values import describes

SCHEMA: Final = "med-stylesr deidentify audit 1"


@dataclass
class Audit:
    """Collects outcomes.

    Attributes:
        counts: actions by (tag, action, why).
        written: number of files written.
        quarantined: (keyed name of the file, reason).
        left_out: number of files that are no images, by reason.
        leaks: (keyed name of the file, where) found on reading back.
        mapping: original and new identifiers; only kept when a mapping is asked for.
    """

    counts: Counts = field(default_factory=Counter)
    written: int = 0
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome, keyed_name: str, keep_mapping: bool) -> None:
        """Take in what became of one file; its name is told by its keyed pseudonym only."""
        self.counts.update(outcome.counts)
        if outcome.written is not None:
            self.written += 1
            if keep_mapping:
                self.mapping.update(outcome.mapping)
        elif outcome.leaks:
            self.leaks += [(keyed_name, where) for where in outcome.leaks]
        elif outcome.problem:
            self.quarantined.append((keyed_name, outcome.reason))
        else:
            self.left_out[outcome.reason] += 1

    def record(
        self, deidentifier: Deidentifier, earlier: Sequence[dict[str, Any]] = (), *, dry_run: bool
    ) -> dict[str, Any]:
        """The record as JSON-able values.

        Args:
            deidentifier: of the run.
            earlier: records of the runs before, see `earlier.earlier_runs`.
            dry_run: whether nothing was written.
        """
        source = ps315()["source"]
        return {
            **_head(deidentifier),
            "finished": True,
            "dry_run": dry_run,
            "table": {key: source[key] for key in ("standard", "edition", "sha256_of_part15_xml")},
            "files": {
                "written": self.written,
                "quarantined": [{"file": name, "reason": reason} for name, reason in sorted(self.quarantined)],
                "left_out": dict(sorted(self.left_out.items())),
            },
            "verification": {
                "passed": not self.leaks,
                "leaks": [{"file": name, "in": where} for name, where in sorted(self.leaks)],
            },
            "actions": list(_action_rows(self.counts)),
            "earlier": list(earlier),
        }


def unfinished_record(deidentifier: Deidentifier, earlier: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What stands in the place of the record until it is made, for results of a run that is killed."""
    return {**_head(deidentifier), "finished": False, "earlier": list(earlier)}


def audit_text(record: dict[str, Any]) -> str:
    """The record as JSON text."""
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def mapping_text(mapping: dict[str, str]) -> str:
    """Original and new identifiers as CSV with the header `id_old,id_new`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("id_old", "id_new"))
    writer.writerows(sorted(mapping.items()))
    return buffer.getvalue()


def keyed_name(deidentifier: Deidentifier, relative: str) -> str:
    """What a file is called in the record: names of files can hold names of people."""
    return deidentifier.safe_name(relative, "F")


def _head(deidentifier: Deidentifier) -> dict[str, Any]:
    profile = deidentifier.profile
    return {
        "schema": SCHEMA,
        "key": key_name(deidentifier.key),
        "profile": {"name": profile.name, "options": sorted(profile.options), "own_rules": len(profile.rules)},
    }


def _action_rows(counts: Counts) -> Iterable[dict[str, Any]]:
    private: Counter[tuple[str, str]] = Counter()
    for (tag, action, why), number in sorted(counts.items()):
        if (tag >> 16) % 2:
            # Numbers of private elements are chosen by the vendor; their groups are enough.
            private[action, why] += number
        else:
            label = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            yield {"tag": label, "name": describes(tag), "action": action, "why": why, "times": number}
    for (action, why), number in sorted(private.items()):
        yield {"tag": "private", "name": "private elements", "action": action, "why": why, "times": number}
