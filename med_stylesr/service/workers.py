"""Jobs done one after the other, or in worker processes; an error ends in the job's entry, never in the others."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from med_stylesr.errors import MedStyleError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.io.publish import remove_leftovers
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile
from med_stylesr.service.jobs import Bench, Outcome, enhance_file, enhance_series
from med_stylesr.service.manifest import DONE, FAILED, Entry
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.processes import spread
from med_stylesr.service.settings import EnhanceSettings

Events = Callable[[Mapping[str, Any]], None]
"""Receives what happens, as JSON-able mappings with the key `event`; see docs/reference/json-events.md."""

DEBUG_VARIABLE = "MED_STYLESR_DEBUG"
"""Set by `med-stylesr --debug`: tracebacks of internal errors are shown."""
_UNTOLD = "the reason was shown on the screen and is not kept, since it may quote the source"


@dataclass(frozen=True)
class Job:
    """One scan to do.

    Attributes:
        item: where it is.
        entry: its place in the manifest, status "running".
        shown: its name on the screen.
        number: its place in the run, from 1.
    """

    item: DicomSeries | VolumeFile
    entry: Entry
    shown: str
    number: int


@dataclass(frozen=True)
class Finished:
    """A job that is over.

    Attributes:
        entry: for the manifest.
        event: for the screen, which may name what the manifest may not.
    """

    entry: Entry
    event: dict[str, Any]


def one_by_one(todo: Sequence[Job], bench: Bench, events: Events) -> Generator[Finished, None, None]:
    """Do the jobs in this process, telling of every slab of slices."""
    for job in todo:
        told = {"source": job.shown, "number": job.number}
        events({"event": "series", **told, "total": len(todo)})

        def progress(done: int, total: int, told: Mapping[str, Any] = told) -> None:
            events({"event": "progress", **told, "done": done, "total": total})

        yield attempt(job, bench, progress)


def in_processes(todo: Sequence[Job], bench: Bench, jobs: int, events: Events) -> Generator[Finished, None, None]:
    """Do the jobs in worker processes; they finish in any order, and one that dies loses its own scan only."""

    def began(job: Job) -> None:
        events({"event": "series", "source": job.shown, "number": job.number, "total": len(todo)})

    arguments = (bench.dest, bench.settings, bench.privacy)
    try:
        with closing(spread(_work, todo, jobs, _start, arguments, began)) as results:
            for job, finished in results:
                if finished is None:
                    reason = "its worker process died (out of memory, or a decoder fault); try it alone"
                    finished = _failed(job, bench.privacy, reason, reason)
                yield finished
    finally:
        # All workers have ended by now; one that was killed could not clean up.
        remove_leftovers(bench.dest)


_bench: Bench | None = None


def _start(dest: Path, settings: EnhanceSettings, privacy: Privacy) -> None:
    global _bench
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    _bench = Bench(dest, settings, Enhancer(settings.bundle, settings.device), privacy)


def _work(job: Job) -> Finished:
    if _bench is None:
        raise RuntimeError("worker was not initialised")
    return attempt(job, _bench, lambda done, total: None)


def attempt(job: Job, bench: Bench, progress: Callable[[int, int], None]) -> Finished:
    """Do one job; any error but an interruption ends in the entry's reason."""
    started = time.monotonic()
    try:
        finished = _done(job, bench.privacy, _enhanced(job, bench, progress))
    except MedStyleError as error:
        # The line starts with the scan's name already; what else the error names (one file, a place) is worth telling.
        own = error.what.endswith(job.shown) or job.shown.startswith(error.what)
        reason = "; ".join(part for part in (error.why if own else f"{error.what}: {error.why}", error.todo) if part)
        finished = _failed(job, bench.privacy, reason)
    except MemoryError:
        reason = "not enough memory; use a smaller --scale or fewer --jobs"
        finished = _failed(job, bench.privacy, reason, reason)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        finished = _failed(job, bench.privacy, f"internal error: {type(error).__name__}: {error}")
    seconds = round(time.monotonic() - started, 2)
    return Finished(replace(finished.entry, seconds=seconds), {**finished.event, "seconds": seconds})


def _enhanced(job: Job, bench: Bench, progress: Callable[[int, int], None]) -> Outcome:
    if isinstance(job.item, DicomSeries):
        return enhance_series(job.item, bench, progress)
    return enhance_file(job.item, bench, progress)


def _done(job: Job, privacy: Privacy, outcome: Outcome) -> Finished:
    everything = [*outcome.quoting, *outcome.warnings]
    entry = replace(
        job.entry,
        status=DONE,
        outputs=outcome.outputs,
        facts=outcome.facts,
        warnings=outcome.warnings if privacy.on else everything,
    )
    shown = {"warnings": everything, "outputs": outcome.outputs, "facts": outcome.facts}
    return Finished(entry, {"event": DONE, "source": job.shown, "number": job.number, **shown})


def _failed(job: Job, privacy: Privacy, reason: str, harmless: str = _UNTOLD) -> Finished:
    entry = replace(job.entry, status=FAILED, reason=harmless if privacy.on else reason)
    return Finished(entry, {"event": FAILED, "source": job.shown, "number": job.number, "reason": reason})
