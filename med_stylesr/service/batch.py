"""Every scan of a source, one after the other or in worker processes; one that fails never stops the others."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from med_stylesr.deid.keys import load_or_create_key
from med_stylesr.errors import MedStyleError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.io.publish import check_apart, remove_leftovers
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile, find_inputs
from med_stylesr.service.jobs import Bench, Outcome, enhance_file, enhance_series
from med_stylesr.service.manifest import DONE, FAILED, RUNNING, SKIPPED, Entry, Manifest, earlier_entries
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.settings import EnhanceSettings

Events = Callable[[Mapping[str, Any]], None]
"""Receives what happens, as JSON-able mappings with the key `event`; see docs/reference/json-events.md."""


@dataclass(frozen=True)
class Job:
    """One scan to do.

    Attributes:
        item: where it is.
        entry: its place in the manifest, status "running".
    """

    item: DicomSeries | VolumeFile
    entry: Entry


def run_batch(
    source: Path, dest: Path, settings: EnhanceSettings, *, jobs: int, resume: bool, events: Events
) -> Manifest:
    """Enhance everything in `source` into `dest`.

    Args:
        source: folder, file, archive or DICOMDIR.
        dest: output folder.
        settings: what to do.
        jobs: scans worked on at the same time.
        resume: skip what an earlier run with the same settings has done.
        events: told what happens.

    Returns:
        The manifest, every entry done, failed or skipped.

    Raises:
        UsageError: if nothing in `source` can be used, or options cannot be met.
    """
    check_apart(source, dest)
    events({"event": "scan", "source": str(source)})
    with find_inputs(source) as inputs:
        enhancer = Enhancer(settings.bundle, settings.device)
        if settings.spacing_mm is None:
            enhancer.check(settings.options)
        earlier = earlier_entries(dest) if resume else {}
        if resume:
            remove_leftovers(dest)
        key = load_or_create_key(settings.key_file) if settings.deidentify else None
        privacy = Privacy(settings.deidentify, key)
        privacy.harvest(inputs.series)
        bench = Bench(dest, settings, enhancer, privacy)
        told = {} if privacy.on else {"source": str(source)}
        manifest = Manifest(dest, "enhance", {**told, "jobs": jobs, **settings.record()})
        manifest.entries = list(_skipped(inputs, privacy))
        for entry in manifest.entries:
            events({"event": "skip", "source": entry.source, "reason": entry.reason, "problem": entry.status == FAILED})
        todo = list(_plan(inputs, bench, earlier, manifest, events))
        events({"event": "start", "total": len(todo)})
        finished = _one_by_one(todo, bench, events) if jobs == 1 else _in_processes(todo, bench, jobs, events)
        for entry in finished:
            manifest.set(entry)
        manifest.save()
    events({"event": "end", "manifest": str(dest / "manifest.json")})
    return manifest


def _skipped(inputs: Inputs, privacy: Privacy) -> Iterator[Entry]:
    for number, skipped in enumerate(inputs.skipped):
        status = FAILED if skipped.problem else SKIPPED
        if privacy.on:
            yield Entry(f"input {number + 1}", "other", status, "not used; the reason was shown on the screen")
        else:
            yield Entry(skipped.name, "other", status, skipped.reason)


def _plan(
    inputs: Inputs,
    bench: Bench,
    earlier: Mapping[str, Entry],
    manifest: Manifest,
    events: Events,
) -> Iterator[Job]:
    """What is to be done, in a fixed order; what an earlier run has done goes straight into the manifest."""
    weights = bench.enhancer.bundle(2).weights_sha256
    items: Sequence[DicomSeries | VolumeFile] = [*inputs.series, *inputs.volumes]
    for item in items:
        name, (kind, identity) = bench.privacy.told_name(item), _identity(item)
        fingerprint = bench.settings.fingerprint(identity, weights)
        known = earlier.get(fingerprint)
        if known and known.status == DONE:
            manifest.entries.append(known)
            events({"event": "skip", "source": name, "reason": "done by an earlier run", "problem": False})
            continue
        entry = Entry(name, kind, RUNNING, fingerprint=fingerprint)
        manifest.set(entry)
        yield Job(item, entry)


def _identity(item: DicomSeries | VolumeFile) -> tuple[str, str]:
    """Kind of an input, and what identifies its content."""
    if isinstance(item, VolumeFile):
        digest = hashlib.sha256()
        with item.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return "volume", digest.hexdigest()
    return "dicom", "\n".join([item.part, *item.sop_instance_uids])


def _one_by_one(todo: Sequence[Job], bench: Bench, events: Events) -> Iterator[Entry]:
    for number, job in enumerate(todo):
        events({"event": "series", "source": job.entry.source, "number": number + 1, "total": len(todo)})

        def progress(done: int, total: int, source: str = job.entry.source) -> None:
            events({"event": "progress", "source": source, "done": done, "total": total})

        entry = attempt(job, bench, progress)
        events(_told(entry))
        yield entry


def _in_processes(todo: Sequence[Job], bench: Bench, jobs: int, events: Events) -> Iterator[Entry]:
    """Workers in processes of their own; a worker that dies takes one scan with it, and is replaced."""
    crashed: list[Job] = []
    with _pool(jobs, bench) as pool:
        futures: dict[Future[Entry], Job] = {pool.submit(_work, job): job for job in todo}
        for future in as_completed(futures):
            try:
                entry = future.result()
            except BrokenProcessPool:
                crashed.append(futures[future])
                continue
            events(_told(entry))
            yield entry
    # Which one of them killed the pool is not known: each gets a worker to itself.
    for job in crashed:
        with _pool(1, bench) as pool:
            try:
                entry = pool.submit(_work, job).result()
            except BrokenProcessPool:
                remove_leftovers(bench.dest)
                reason = "its worker process died (out of memory, or a decoder fault); try it alone"
                entry = replace(job.entry, status=FAILED, reason=reason)
        events(_told(entry))
        yield entry


def _pool(jobs: int, bench: Bench) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    started = (bench.dest, bench.settings, bench.privacy)
    return ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=started)


_bench: Bench | None = None


def _start_worker(dest: Path, settings: EnhanceSettings, privacy: Privacy) -> None:
    global _bench
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    _bench = Bench(dest, settings, Enhancer(settings.bundle, settings.device), privacy)


def _work(job: Job) -> Entry:
    if _bench is None:
        raise RuntimeError("worker was not initialised")
    return attempt(job, _bench, lambda done, total: None)


def attempt(job: Job, bench: Bench, progress: Callable[[int, int], None]) -> Entry:
    """Do one job; any error but an interruption ends in the entry's reason."""
    started = time.monotonic()
    try:
        outcome: Outcome
        if isinstance(job.item, DicomSeries):
            outcome = enhance_series(job.item, bench, progress)
        else:
            outcome = enhance_file(job.item, bench, progress)
    except MedStyleError as error:
        reason = "; ".join(part for part in (error.why, error.todo) if part)
        entry = replace(job.entry, status=FAILED, reason=reason)
    except MemoryError:
        entry = replace(job.entry, status=FAILED, reason="not enough memory; use a smaller --scale or fewer --jobs")
    except Exception as error:
        entry = replace(job.entry, status=FAILED, reason=f"internal error: {type(error).__name__}: {error}")
    else:
        entry = replace(job.entry, status=DONE, outputs=outcome.outputs, facts=outcome.facts, warnings=outcome.warnings)
    return replace(entry, seconds=round(time.monotonic() - started, 2))


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "event": entry.status,
        "source": entry.source,
        "reason": entry.reason,
        "warnings": entry.warnings,
        "outputs": entry.outputs,
        "seconds": entry.seconds,
        "facts": entry.facts,
    }


def exit_status(manifest: Manifest) -> int:
    """0 if everything was done, 1 if something failed (DESIGN section 5; 2 is a UsageError)."""
    return int(any(entry.status == FAILED for entry in manifest.entries))
