"""Simulated low-dose and low-resolution partners of every scan in a source, in the format it came in."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from med_stylesr import __version__
from med_stylesr.degrade.scan import DegradationPlan
from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.runtime import pick_device
from med_stylesr.io.publish import Staging
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile, find_inputs
from med_stylesr.service.manifest import DONE, FAILED, RUNNING, Entry, Manifest, read_earlier, record_path
from med_stylesr.service.plan import identity_of, put_skipped
from med_stylesr.service.preflight import check_places
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.run_record import RunRecord, run_record
from med_stylesr.service.simulated_scan import Bench, Made, simulate_file, simulate_series, simulated_place

Events = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class _Job:
    item: DicomSeries | VolumeFile
    entry: Entry


def simulate_all(
    source: Path,
    dest: Path,
    plan: DegradationPlan,
    *,
    device: str,
    overwrite: bool,
    events: Events,
    resume: bool = False,
) -> Manifest:
    """Degrade everything in `source` into `dest`; a scan that fails does not stop the others.

    Args:
        source: folder, file, archive or DICOMDIR.
        dest: output folder.
        plan: what to do.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: whether existing output is replaced.
        events: told what happens, as in `service.batch`.
        resume: skip what an earlier run with the same plan has done.

    Returns:
        The manifest, every entry done, failed or skipped.

    Raises:
        UsageError: if nothing in `source` can be used, or `dest` holds results that may not be added to.
        InputError: if the manifest cannot be written.
    """
    check_places(source, dest, resume=resume, overwrite=overwrite, deidentify=None, key_file=None)
    _refuse_deidentified(dest)
    bench = Bench(dest, plan, pick_device(device), overwrite)
    events({"event": "scan", "source": str(source)})
    arguments = {"source": str(source), "device": device, "overwrite": overwrite, **asdict(plan)}
    with find_inputs(source) as inputs, run_record(dest, "simulate", arguments) as record:
        manifest = record.manifest
        put_skipped(inputs, Privacy(None, None), manifest, events)
        jobs = _planned(inputs, plan, record, resume, events)
        # From here on a run that is killed leaves a record to resume from.
        manifest.save()
        events({"event": "start", "total": len(jobs)})
        try:
            for number, job in enumerate(jobs, 1):
                _do(job, number, len(jobs), bench, manifest, events)
        except KeyboardInterrupt:
            with suppress(InputError):
                manifest.save()
            raise
        manifest.save()
    events({"event": "end", "manifest": str(dest / "manifest.json")})
    return manifest


def _refuse_deidentified(dest: Path) -> None:
    """Keep results with identifiers apart from those without: together they tell who is who.

    Raises:
        UsageError: if DEST holds de-identified results.
    """
    earlier = read_earlier(dest)
    if earlier.done and earlier.arguments.get("deidentify"):
        why = "holds de-identified results, and simulated series keep the identifiers of their source"
        raise UsageError(str(dest), why, "choose another DEST")


def _planned(inputs: Inputs, plan: DegradationPlan, record: RunRecord, resume: bool, events: Events) -> list[_Job]:
    """What is to be done, in a fixed order; what needs no work goes straight into the manifest."""
    jobs: list[_Job] = []
    taken: set[Path] = set()
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    items: Sequence[DicomSeries | VolumeFile] = [*inputs.series, *inputs.volumes]
    for item in items:
        name = str(item.relative) if isinstance(item, VolumeFile) else item.name
        kind, identity = identity_of(item)
        entry = Entry(name, kind, RUNNING, fingerprint=_fingerprint(identity, plan))
        place = simulated_place(item) if isinstance(item, VolumeFile) else None
        if resume and record.done(entry) is not None:
            events({"event": "skip", "source": name, "reason": "done by an earlier run", "problem": False})
        elif place in taken:
            reason = "another input would be written to the same place; rename it, or give both their own DEST"
            record.manifest.put(replace(entry, source=f"{name} (one more)", status=FAILED, reason=reason))
            events({"event": "skip", "source": name, "reason": reason, "problem": True})
        else:
            # That of the run which first planned it, so that a resumed run gives the same bytes.
            entry.created = record.earlier.begun.get(entry.fingerprint, created)
            record.manifest.put(entry)
            jobs.append(_Job(item, entry))
        taken |= {place} if place else set()
    return jobs


def _fingerprint(identity: str, plan: DegradationPlan) -> str:
    """Digest of an input and all that its partner depends on."""
    matters = {"input": identity, "tool": __version__, "plan": asdict(plan)}
    return hashlib.sha256(json.dumps(matters, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _do(job: _Job, number: int, total: int, bench: Bench, manifest: Manifest, events: Events) -> None:
    name = job.entry.source
    events({"event": "series", "source": name, "number": number, "total": total})

    def progress(done: int, slices: int) -> None:
        events({"event": "progress", "source": name, "number": number, "done": done, "total": slices})

    entry = _attempt(job, bench, progress)
    told = {key: value for key, value in vars(entry).items() if key not in ("kind", "status")}
    events({"event": entry.status, "number": number, **told})
    # A full disk fails one scan and may have room for the next; the last save decides.
    with suppress(InputError):
        manifest.set(entry)


def _attempt(job: _Job, bench: Bench, progress: Callable[[int, int], None]) -> Entry:
    started = time.monotonic()
    entry = job.entry

    def seconds() -> float:
        return round(time.monotonic() - started, 2)

    def publish(staging: Staging, made: Made) -> None:
        nonlocal entry
        done = replace(job.entry, status=DONE, **vars(made), seconds=seconds())
        staging.publish(record_path(bench.dest, done.fingerprint), vars(done))
        entry = done

    try:
        if isinstance(job.item, DicomSeries):
            simulate_series(job.item, bench, datetime.fromisoformat(entry.created), progress, publish)
        else:
            simulate_file(job.item, bench, progress, publish)
        return entry
    except MedStyleError as error:
        reason = _told(error, entry.source)
    except MemoryError:
        reason = "not enough memory"
    except Exception as error:
        reason = f"internal error: {type(error).__name__}: {error}"
    return replace(job.entry, status=FAILED, reason=reason, seconds=seconds())


def _told(error: MedStyleError, name: str) -> str:
    """Why a scan failed. Its name stands before it; what else the error names (one file, a place) is worth telling."""
    # The arguments as they were given: a name that is cut short is none.
    what, why, todo = (str(part) for part in error.args)
    own = what.endswith(name) or name.startswith(what)
    return "; ".join(part for part in (why if own else f"{what}: {why}", todo) if part)
