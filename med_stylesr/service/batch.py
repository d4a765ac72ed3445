"""Every scan of a source into DEST, with a record of what became of each; one that fails never stops the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.request import Offer
from med_stylesr.io.medium import write_medium
from med_stylesr.io.source import Inputs, find_inputs
from med_stylesr.service.attempts import Finished
from med_stylesr.service.lock import sole_use
from med_stylesr.service.manifest import FAILED, Earlier, Manifest, read_earlier, take_over
from med_stylesr.service.plan import Events, plan, put_skipped
from med_stylesr.service.preflight import check_places
from med_stylesr.service.privacy import Privacy, privacy_for
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import Workplace, workplace

MEDIUM: Final = "medium"
"""Folder in DEST of the copies that a DICOMDIR lists."""
EPOCH_VARIABLE: Final = "SOURCE_DATE_EPOCH"
"""Seconds since 1970 that stand for now in what is written (reproducible-builds.org): equal runs give equal bytes."""


def run_batch(
    source: Path,
    dest: Path,
    settings: EnhanceSettings,
    *,
    jobs: int,
    resume: bool,
    events: Events,
    retry_quarantined: bool = False,
    cluster: str | None = None,
    place: Workplace | None = None,
) -> Manifest:
    """Enhance everything in `source` into `dest`.

    Args:
        source: folder, file, archive or DICOMDIR.
        dest: output folder.
        settings: what to do.
        jobs: scans worked on at the same time.
        resume: skip what an earlier run with the same settings has done.
        events: told what happens.
        retry_quarantined: with `resume`, try again what an earlier run gave up because it killed its worker.
        cluster: Ray cluster whose workers do it, see `cluster.RayWorkers`, or None for this machine.
        place: of the same settings, jobs and cluster, if there is one already; None makes one.

    Returns:
        The manifest, every entry done, failed or skipped.

    Raises:
        UsageError: if nothing in `source` can be used, or options cannot be met.
        InputError: if the manifest cannot be written.
    """
    check_places(
        source,
        dest,
        resume=resume,
        overwrite=settings.overwrite,
        deidentify=settings.deidentify,
        key_file=settings.key_file,
    )
    privacy = privacy_of(settings)
    refuse_mixture(dest, settings)
    asked = Asked(source, dest, settings, jobs, resume, retry_quarantined)
    with workplace(settings, jobs, cluster) if place is None else nullcontext(place) as ready:
        if not ready.starts_apart:
            ready.offer.check(settings.options)
        return work_through(asked, ready, privacy, events, lambda: sole_use(dest))


@dataclass(frozen=True)
class Asked:
    """The arguments of `run_batch` by their names there."""

    source: Path
    dest: Path
    settings: EnhanceSettings
    jobs: int
    resume: bool
    retry_quarantined: bool


def work_through(
    asked: Asked,
    place: Workplace,
    privacy: Privacy,
    events: Events,
    guard: Callable[[], AbstractContextManager[None]],
    ready: Callable[[Path], bool] = lambda path: True,
) -> Manifest:
    """Do once what a run does, in a place that is ready for work.

    Args:
        asked: what to do.
        place: where.
        privacy: what may be told of the sources.
        events: told what happens.
        guard: keeps other runs out of DEST meanwhile.
        ready: whether a file may be used; scans with one that may not are left for the next time.

    Raises:
        UsageError: if nothing in the source can be used.
        InputError: if the manifest cannot be written.
    """
    source, dest, settings = asked.source, asked.dest, asked.settings
    created = _moment()
    events({"event": "scan", "source": str(source)})
    with find_inputs(source) as inputs:
        # Asked this late, since worker processes may start meanwhile.
        place.offer.check(settings.options)
        inputs.series = [one for one in inputs.series if all(ready(file.path) for file in one.files)]
        inputs.volumes = [one for one in inputs.volumes if ready(one.path)]
        _require_some_fit(inputs, settings, place.offer)
        privacy.harvest(inputs.series)
        with guard():
            earlier = take_over(dest)
            told = {} if privacy.on else {"source": str(source)}
            manifest = Manifest(dest, "enhance", {**told, "jobs": asked.jobs, **settings.record()}, earlier.done)
            manifest.adopt(earlier.records)
            put_skipped(inputs, privacy, manifest, events)
            known = earlier if asked.resume else Earlier()
            if asked.retry_quarantined:
                known = replace(known, quarantined=())
            todo = plan(inputs, settings, privacy, place.offer.digests, created, known, manifest, events)
            manifest.save()
            events({"event": "start", "total": len(todo)})
            _work_off(place.do(todo, dest, privacy, events), manifest, events)
            if settings.dicomdir:
                write_medium([dest / folder for folder in manifest.series_folders()], dest / MEDIUM)
    events({"event": "end", "manifest": str(dest / "manifest.json")})
    return manifest


def privacy_of(settings: EnhanceSettings) -> Privacy:
    """What may be told of the sources of a run."""
    return privacy_for(settings.deidentify, settings.key_file)


def _moment() -> str:
    given = os.environ.get(EPOCH_VARIABLE, "")
    if given.isascii() and given.isdigit():
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(int(given), timezone.utc).isoformat()
    if given:
        raise UsageError(f"{EPOCH_VARIABLE}={given}", "is no number of seconds since 1970", "correct or unset it")
    return datetime.now().astimezone().isoformat(timespec="seconds")


def refuse_mixture(dest: Path, settings: EnhanceSettings) -> None:
    """Keep results with identifiers and those without them, or of two profiles, apart: together they tell who is who.

    Raises:
        UsageError: if DEST holds others.
    """
    earlier = read_earlier(dest)
    before = earlier.arguments.get("deidentify")
    if earlier.done and before != settings.profile:
        how = f"by the profile {before}" if before else "not at all"
        raise UsageError(str(dest), f"holds results that were de-identified otherwise ({how})", "choose another DEST")


def _require_some_fit(inputs: Inputs, settings: EnhanceSettings, offer: Offer) -> None:
    """Refuse a target spacing that no scan can be brought to; of volume files it is not known yet.

    Raises:
        UsageError: with the reason of the last one.
    """
    if settings.spacing_mm is None or inputs.volumes or not inputs.series:
        return
    for series in inputs.series:
        try:
            offer.check(settings.options_for(series.grid.spacing_mm))
            return
        except MedStyleError as error:
            last = error
    raise UsageError(last.what, last.why, last.todo) from last


def _work_off(finished: Generator[Finished, None, None], manifest: Manifest, events: Events) -> None:
    try:
        with closing(finished):
            for one in finished:
                events(one.event)
                # A full disk fails one scan and may have room for the next; the last save decides.
                with suppress(InputError):
                    manifest.set(one.entry)
    except KeyboardInterrupt:
        with suppress(InputError):
            manifest.save()
        raise
    manifest.save()


def exit_status(manifest: Manifest) -> int:
    """0 if everything was done, 1 if something failed (DESIGN section 5; 2 is a UsageError)."""
    return int(any(entry.status == FAILED for entry in manifest.entries))


__all__ = ["Asked", "Events", "exit_status", "privacy_of", "refuse_mixture", "run_batch", "work_through"]
