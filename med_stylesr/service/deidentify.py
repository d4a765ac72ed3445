"""The `deidentify` job: harvest everything, clean file by file in worker processes, read back, keep the record."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from med_stylesr.deid import Deidentifier, Harvest, load_or_create_key, load_profile
from med_stylesr.deid.audit import Audit, audit_text, keyed_name, mapping_text, unfinished_record
from med_stylesr.deid.bytesearch import ByteSearch
from med_stylesr.deid.earlier import AUDIT_NAME, earlier_runs
from med_stylesr.deid.files import PARTIAL, Outcome, clean_file, harvest_file
from med_stylesr.deid.keys import new_key
from med_stylesr.deid.verify import search_for
from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.publish import check_apart, remove_leftovers
from med_stylesr.service.lock import join_use, sole_use

_CHUNK: Final = 32
_WAITING_PER_JOB: Final = 3

Events = Callable[[Mapping[str, Any]], None]
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class DeidentifyJob:
    """Settings of a run.

    Attributes:
        source: folder or file.
        dest: folder for the output.
        profile: name or path of a profile.
        key_file: file of the secret key, made if there is none; None for a key of this run only.
        mapping_csv: where to write original and new identifiers, or None.
        jobs: worker processes.
        dry_run: clean in memory, write nothing.
        overwrite: replace outputs that exist.
    """

    source: pathlib.Path
    dest: pathlib.Path
    profile: str
    key_file: pathlib.Path | None
    mapping_csv: pathlib.Path | None
    jobs: int
    dry_run: bool
    overwrite: bool

    @property
    def written_to(self) -> pathlib.Path | None:
        """Folder for the output, or None for a dry run."""
        return None if self.dry_run else self.dest


def run_deidentify(job: DeidentifyJob, events: Events) -> dict[str, Any]:
    """Run a job and give its record, which is also written to DEST.

    Args:
        job: settings.
        events: told of every file that was not passed on, with its real path, for the screen only.

    Raises:
        UsageError: for settings that cannot work, when there is nothing in the source, or another run is at work in
            DEST or has filled it under another key.
        InputError: if DEST cannot be made, or the record not be written.
    """
    profile = load_profile(job.profile)
    if not job.source.exists():
        raise UsageError(str(job.source), "does not exist", "check SOURCE")
    check_apart(job.source, job.dest)
    for secret in (job.key_file, job.mapping_csv):
        if secret is not None and job.dest.resolve() in secret.resolve().parents:
            raise UsageError(
                str(secret), "lies in DEST, and would be passed on with the output", "choose another place"
            )
    if job.mapping_csv is not None and job.mapping_csv.is_dir():
        raise UsageError(str(job.mapping_csv), "is a folder, and a file is to be written there", "choose another name")
    if not job.dry_run and (job.key_file is None or not job.key_file.exists()):
        # Before a key is made and kept that is of no use.
        earlier_runs(job.dest, new_key())
    deidentifier = Deidentifier(profile, load_or_create_key(job.key_file))
    files = list(_files(job.source))
    if not files:
        raise UsageError(str(job.source), "holds no file", "check SOURCE")
    events({"event": "scan", "source": str(job.source), "files": len(files)})
    if job.dry_run:
        return _work_through(job, files, deidentifier, [], events)
    with _without_leftovers(job.dest):
        return _work_through(job, files, deidentifier, earlier_runs(job.dest, deidentifier.key), events)


@contextmanager
def _without_leftovers(dest: pathlib.Path) -> Iterator[None]:
    """Keep other runs out of DEST, and what a process that was killed had not read back yet."""
    with sole_use(dest):
        remove_leftovers(dest)
        try:
            yield
        finally:
            # A worker may have died of its file.
            remove_leftovers(dest)


def _work_through(
    job: DeidentifyJob,
    files: Sequence[tuple[pathlib.Path, str]],
    deidentifier: Deidentifier,
    earlier: Sequence[dict[str, Any]],
    events: Events,
) -> dict[str, Any]:
    for harvested in _spread(_harvest_chunk, [path for path, _ in files], job, deidentifier):
        if isinstance(harvested, Harvest):
            deidentifier.adopt(harvested)
    events({"event": "start", "total": len(files)})
    if not job.dry_run:
        _write(job.dest / AUDIT_NAME, audit_text(unfinished_record(deidentifier, earlier)), 0o644)
    audit = Audit()
    work = [(path, relative, job.written_to, job.overwrite) for path, relative in files]
    for outcomes in _spread(_clean_chunk, work, job, deidentifier):
        for outcome in outcomes if isinstance(outcomes, list) else [Outcome(str(outcomes[0]), reason=_CRASH)]:
            relative = _relative(pathlib.Path(outcome.source), job.source)
            audit.add(outcome, keyed_name(deidentifier, relative), job.mapping_csv is not None)
            if outcome.written is None:
                told = {"event": "skip", "source": outcome.source, "reason": outcome.reason, "problem": outcome.problem}
                events(told)
    record = audit.record(deidentifier, earlier, dry_run=job.dry_run)
    if not job.dry_run:
        _write(job.dest / AUDIT_NAME, audit_text(record), 0o644)
        if job.mapping_csv is not None:
            _write(job.mapping_csv, mapping_text(audit.mapping), 0o600)
    return record


_CRASH: Final = "is malformed (it broke the program that reads it)"


def _files(source: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """Files below `source` in order, never through a link: a link could lead anywhere.

    Links to folders and folders that cannot be listed are given like files, so that they are held back by name.

    Raises:
        UsageError: if `source` itself cannot be listed.
    """
    if not source.is_dir():
        yield source, source.name
        return
    closed: list[OSError] = []
    for folder, folders, names in os.walk(source, onerror=closed.append, followlinks=False):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            path = pathlib.Path(folder, name)
            yield path, str(path.relative_to(source))
    for error in closed:
        path = pathlib.Path(error.filename)
        if path == source:
            raise UsageError(str(source), f"cannot be listed ({error.strerror})", "check the permissions")
        yield path, str(path.relative_to(source))


def _relative(path: pathlib.Path, source: pathlib.Path) -> str:
    return str(path.relative_to(source)) if path != source else path.name


def _spread(
    task: Callable[[Sequence[Any]], _Found], entries: Sequence[Any], job: DeidentifyJob, deidentifier: Deidentifier
) -> Iterator[_Found | Any]:
    """Run `task` over chunks of entries in worker processes; an entry that kills its worker comes back itself."""
    chunks = iter([entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)])
    broken: list[Sequence[Any]] = []
    pool = _pool(job.jobs, job, deidentifier)
    try:
        waiting: dict[Future[_Found], Sequence[Any]] = {}
        _submit(pool, task, islice(chunks, job.jobs * _WAITING_PER_JOB), waiting, broken)
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = waiting.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    broken.append(chunk)
            if broken:
                # Every chunk in flight is lost with the pool; they are done again one by one below.
                broken += waiting.values()
                waiting.clear()
                broken += chunks
                break
            _submit(pool, task, islice(chunks, len(done)), waiting, broken)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    for entry in (entry for chunk in broken for entry in chunk):
        with _pool(1, job, deidentifier) as lone:
            try:
                yield lone.submit(task, [entry]).result()
            except BrokenProcessPool:
                yield entry


def _submit(
    pool: ProcessPoolExecutor,
    task: Callable[[Sequence[Any]], _Found],
    chunks: Iterable[Sequence[Any]],
    waiting: dict[Future[_Found], Sequence[Any]],
    broken: list[Sequence[Any]],
) -> None:
    for chunk in chunks:
        try:
            waiting[pool.submit(task, chunk)] = chunk
        except BrokenProcessPool:
            broken.append(chunk)


def _pool(workers: int, job: DeidentifyJob, deidentifier: Deidentifier) -> ProcessPoolExecutor:
    # A fork server starts workers quickly and, unlike fork, without threads and locks of this process.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["med_stylesr.service.deidentify"])
    start = (deidentifier, job.written_to)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=start)


_worker: dict[str, Any] = {}


def _start_worker(deidentifier: Deidentifier, dest: pathlib.Path | None) -> None:
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    if dest is not None:
        join_use(dest)
    _worker["deidentifier"] = deidentifier
    _worker["search"] = search_for(deidentifier.harvested, deidentifier.profile)


def _stop_with_parent() -> None:
    """End this worker when the run is killed: it would wait for work, and the next run for it, without end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _harvest_chunk(paths: Sequence[pathlib.Path]) -> Harvest:
    deidentifier: Deidentifier = _worker["deidentifier"]
    deidentifier.harvested = Harvest()
    for path in paths:
        harvest_file(path, deidentifier)
    return deidentifier.harvested


def _clean_chunk(work: Sequence[tuple[pathlib.Path, str, pathlib.Path | None, bool]]) -> list[Outcome]:
    deidentifier: Deidentifier = _worker["deidentifier"]
    search: ByteSearch = _worker["search"]
    return [
        clean_file(path, relative, dest, deidentifier, search, overwrite=overwrite)
        for path, relative, dest, overwrite in work
    ]


def _write(path: pathlib.Path, text: str, mode: int) -> None:
    """Write a text file whole, with its permissions from the first byte on.

    Raises:
        InputError: if it cannot be written.
    """
    partial = path.parent / f"{PARTIAL}{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as error:
        why = f"cannot be written ({error.strerror or error})"
        raise InputError(str(path), why, "make room or check the permissions, then run again") from error
