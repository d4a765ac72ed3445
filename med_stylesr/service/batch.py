"""Every scan of a source into DEST, with a record of what became of each; one that fails never stops the others."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from med_stylesr.deid.keys import load_or_create_key
from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.io.publish import remove_leftovers
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile, find_inputs
from med_stylesr.service.jobs import Bench, options_for, volume_place
from med_stylesr.service.manifest import FAILED, RUNNING, SKIPPED, Earlier, Entry, Manifest, read_earlier
from med_stylesr.service.preflight import check_places
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import Events, Finished, Job, in_processes, one_by_one


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
    privacy = Privacy(settings.deidentify, load_or_create_key(settings.key_file) if settings.deidentify else None)
    earlier = read_earlier(dest)
    if privacy.on and earlier.done and earlier.arguments.get("deidentify") != settings.deidentify:
        raise UsageError(str(dest), "holds results that were not de-identified in this way", "choose another DEST")
    enhancer = Enhancer(settings.bundle, settings.device)
    enhancer.check(settings.options)
    events({"event": "scan", "source": str(source)})
    with find_inputs(source) as inputs:
        _require_some_fit(inputs, settings, enhancer)
        privacy.harvest(inputs.series)
        bench = Bench(dest, settings, enhancer, privacy)
        told = {} if privacy.on else {"source": str(source)}
        manifest = Manifest(dest, "enhance", {**told, "jobs": jobs, **settings.record()}, earlier.done)
        if resume:
            remove_leftovers(dest)
        _put_skipped(inputs, privacy, manifest, events)
        todo = _plan(inputs, bench, earlier if resume else Earlier(), manifest, events)
        manifest.save()
        events({"event": "start", "total": len(todo)})
        finished = one_by_one(todo, bench, events) if jobs == 1 else in_processes(todo, bench, jobs, events)
        _work_off(finished, manifest, events)
    events({"event": "end", "manifest": str(dest / "manifest.json")})
    return manifest


def _require_some_fit(inputs: Inputs, settings: EnhanceSettings, enhancer: Enhancer) -> None:
    """Refuse a target spacing that no scan can be brought to; of volume files it is not known yet.

    Raises:
        UsageError: with the reason of the last one.
    """
    if settings.spacing_mm is None or inputs.volumes:
        return
    for series in inputs.series:
        try:
            enhancer.check(options_for(settings, series.grid.spacing_mm))
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


def _put_skipped(inputs: Inputs, privacy: Privacy, manifest: Manifest, events: Events) -> None:
    for number, skipped in enumerate(inputs.skipped):
        status = FAILED if skipped.problem else SKIPPED
        if privacy.on:
            manifest.put(Entry(f"input {number + 1}", "other", status, "not used; the reason was shown on the screen"))
        else:
            manifest.put(Entry(skipped.name, "other", status, skipped.reason))
        events({"event": "skip", "source": skipped.name, "reason": skipped.reason, "problem": skipped.problem})


def _plan(inputs: Inputs, bench: Bench, earlier: Earlier, manifest: Manifest, events: Events) -> list[Job]:
    """What is to be done, in a fixed order; what needs no work goes straight into the manifest."""
    through_plane = bench.settings.spacing_mm is not None or bench.settings.options.scale[0] > 1
    weights = " ".join(bench.enhancer.bundle(dims).weights_sha256 for dims in ((2, 3) if through_plane else (2,)))
    done = {entry.fingerprint: entry for entry in earlier.done}
    taken: set[Path] = set()
    todo: list[Job] = []
    items: Sequence[DicomSeries | VolumeFile] = [*inputs.series, *inputs.volumes]
    for item in items:
        shown, (kind, identity) = bench.privacy.shown_name(item), _identity(item)
        fingerprint = bench.settings.fingerprint(bench.privacy.seal(identity), weights)
        entry = Entry(bench.privacy.told_name(item), kind, RUNNING, fingerprint=fingerprint)
        place = volume_place(item, bench) if isinstance(item, VolumeFile) else None
        if fingerprint in done:
            manifest.put(done[fingerprint])
            events({"event": "skip", "source": shown, "reason": "done by an earlier run", "problem": False})
        elif place in taken:
            reason = "another input would be written to the same place; rename it, or give both their own DEST"
            manifest.put(Entry(f"{entry.source} (one more)", kind, FAILED, reason, fingerprint))
            events({"event": "skip", "source": shown, "reason": reason, "problem": True})
        else:
            manifest.put(entry)
            todo.append(Job(item, entry, shown, len(todo) + 1))
        taken |= {place} if place else set()
    return todo


def _identity(item: DicomSeries | VolumeFile) -> tuple[str, str]:
    """Kind of an input, and what tells it from all others: place and content of a volume, images of a series."""
    if isinstance(item, VolumeFile):
        digest = hashlib.sha256()
        # What cannot be read fails later, with its reason.
        with suppress(OSError), item.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return "volume", f"{item.relative}\n{digest.hexdigest()}"
    return "dicom", "\n".join([item.part, *item.sop_instance_uids])


def exit_status(manifest: Manifest) -> int:
    """0 if everything was done, 1 if something failed (DESIGN section 5; 2 is a UsageError)."""
    return int(any(entry.status == FAILED for entry in manifest.entries))


__all__ = ["Events", "exit_status", "run_batch"]
