"""One job from its begin to its entry: any error ends in the entry's reason, never in the other jobs."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from med_stylesr.errors import MedStyleError
from med_stylesr.io.series import DicomSeries
from med_stylesr.service.manifest import DONE, FAILED, Entry, record_path
from med_stylesr.service.plan import Job
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.worker_main import DEBUG_VARIABLE, require_unstopped

if TYPE_CHECKING:
    # Imports torch, which the process that only watches over workers does not need.
    from med_stylesr.service.jobs import Bench, Outcome

_UNTOLD: Final = "the reason was shown on the screen and is not kept, since it may quote the source"


@dataclass(frozen=True)
class Finished:
    """A job that is over.

    Attributes:
        entry: for the manifest.
        event: for the screen, which may name what the manifest may not.
    """

    entry: Entry
    event: dict[str, Any]


def attempt(
    job: Job, bench: Bench, progress: Callable[[int, int], None], *, die_without_memory: bool = False
) -> Finished:
    """Do one job; any error but an interruption ends in the entry's reason.

    Args:
        job: what to do.
        bench: what to work with.
        progress: called with slices done and slices in all.
        die_without_memory: let a MemoryError through: a new process has more of it than one that has failed.
    """
    started = time.monotonic()

    def seconds() -> float:
        return round(time.monotonic() - started, 2)

    try:
        with _no_memory_is_told_as_such():
            outcome = _enhanced(job, bench, progress, seconds)
        return _done(job, bench.privacy, outcome, seconds())
    except MedStyleError as error:
        # The line starts with the scan's name already; what else the error names (one file, a place) is worth telling.
        own = error.what.endswith(job.shown) or job.shown.startswith(error.what)
        reason = "; ".join(part for part in (error.why if own else f"{error.what}: {error.why}", error.todo) if part)
        return failed(job, bench.privacy, reason, seconds=seconds())
    except MemoryError:
        if die_without_memory:
            raise
        reason = "not enough memory; use a smaller --scale or fewer --jobs"
        return failed(job, bench.privacy, reason, reason, seconds=seconds())
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        return failed(job, bench.privacy, f"internal error: {type(error).__name__}: {error}", seconds=seconds())


@contextmanager
def _no_memory_is_told_as_such() -> Generator[None, None, None]:
    """Turn the RuntimeError by which torch reports what it cannot allocate into a MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise MemoryError(str(error)) from error
        raise


def _enhanced(job: Job, bench: Bench, progress: Callable[[int, int], None], seconds: Callable[[], float]) -> Outcome:
    from med_stylesr.service.jobs import Journal, enhance_file, enhance_series

    def told(outcome: Outcome) -> dict[str, Any]:
        require_unstopped()
        return vars(_done(job, bench.privacy, outcome, seconds()).entry)

    journal = Journal(
        record_path(bench.dest, job.entry.fingerprint),
        datetime.fromisoformat(job.entry.created) if job.entry.created else datetime.now().astimezone(),
        told,
    )
    if isinstance(job.item, DicomSeries):
        return enhance_series(job.item, bench, progress, journal)
    return enhance_file(job.item, bench, progress, journal)


def _done(job: Job, privacy: Privacy, outcome: Outcome, seconds: float) -> Finished:
    everything = [*outcome.quoting, *outcome.warnings]
    entry = replace(
        job.entry,
        status=DONE,
        outputs=outcome.outputs,
        facts=outcome.facts,
        warnings=outcome.warnings if privacy.on else everything,
        seconds=seconds,
    )
    finished = event_of(job, entry)
    return replace(finished, event={**finished.event, "warnings": everything})


def event_of(job: Job, entry: Entry) -> Finished:
    """A job that is done, as its entry tells."""
    shown = {"warnings": entry.warnings, "outputs": entry.outputs, "facts": entry.facts, "seconds": entry.seconds}
    return Finished(entry, {"event": DONE, "source": job.shown, "number": job.number, **shown})


def failed(
    job: Job, privacy: Privacy, reason: str, harmless: str = _UNTOLD, *, seconds: float = 0.0, quarantined: bool = False
) -> Finished:
    """A job that failed.

    Args:
        job: the job.
        privacy: what may be told of it.
        reason: for the screen.
        harmless: for the manifest of a run that de-identifies.
        seconds: time taken.
        quarantined: see `Entry`.
    """
    entry = replace(
        job.entry,
        status=FAILED,
        reason=harmless if privacy.on else reason,
        seconds=seconds,
        quarantined=quarantined,
    )
    event = {"event": FAILED, "source": job.shown, "number": job.number, "reason": reason, "seconds": seconds}
    return Finished(entry, event)
