"""Jobs done one after the other, or in worker processes; an error ends in the job's entry, never in the others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from med_stylesr.errors import MedStyleError
from med_stylesr.io.publish import recovered, remove_leftovers
from med_stylesr.service.lock import join_use
from med_stylesr.service.manifest import Entry, record_path
from med_stylesr.service.memory import available_bytes, bound_own
from med_stylesr.service.processes import Crew, Lost
from med_stylesr.service.settings import EnhanceSettings

if TYPE_CHECKING:
    # Torch, which the process that only watches over workers does not need, and all that reads scans: the first worker
    # starts before that is imported here.
    from med_stylesr.inference.enhancer import Enhancer
    from med_stylesr.inference.request import Offer
    from med_stylesr.service.attempts import Finished
    from med_stylesr.service.jobs import Bench
    from med_stylesr.service.plan import Events, Job
    from med_stylesr.service.privacy import Privacy

_FREE_SHARE: Final = 0.9
"""Share of the free memory that all workers together may take."""
_BASE_SECONDS: Final = 600.0
_SECONDS_PER_MEGAVOXEL: Final = 40.0
"""About fifty times what the shipped bundles need on one core: a limit that only a hang reaches."""


class Workplace(Protocol):
    """Where jobs are done; a context manager."""

    starts_apart: bool
    """Whether it gets ready while this process does something else."""

    @property
    def offer(self) -> Offer:
        """What its bundles can do; waits until it is ready for work.

        Raises:
            UsageError: if the bundle or the device cannot be used.
        """

    def __enter__(self) -> Workplace:
        """Be ready for work."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop whatever works."""

    def do(self, todo: Sequence[Job], dest: Path, privacy: Privacy, events: Events) -> Generator[Finished, None, None]:
        """Do the jobs; they may finish in any order."""


def load_enhancer(settings: EnhanceSettings) -> Enhancer:
    """The bundles of a run, loaded.

    Raises:
        UsageError: if the bundle, the device or the style reference cannot be used.
        InputError: if the style reference is damaged or shows no body.
    """
    from med_stylesr.inference.enhancer import Enhancer
    from med_stylesr.service.reading import read_single

    reference = None if settings.style_reference is None else read_single(settings.style_reference)
    return Enhancer(settings.bundle, settings.device, settings.runtime, settings.precision, reference)


def workplace(settings: EnhanceSettings, jobs: int, cluster: str | None) -> Workplace:
    """Workers of a cluster, worker processes, or this process where none are asked for.

    Worker processes start at once; what they load is told of when their offer is asked for.

    Raises:
        UsageError: if the cluster cannot be used.
    """
    if cluster is not None:
        from med_stylesr.service.cluster import RayWorkers

        return RayWorkers(settings, jobs, cluster)
    return OwnProcess(settings) if jobs == 1 and settings.limits is None else WorkerProcesses(settings, jobs)


class OwnProcess(AbstractContextManager["OwnProcess"]):
    """Does one job after the other in this process; what kills it kills the run."""

    starts_apart = False

    def __init__(self, settings: EnhanceSettings) -> None:
        self._settings = settings

    @cached_property
    def _enhancer(self) -> Enhancer:
        return load_enhancer(self._settings)

    @cached_property
    def offer(self) -> Offer:
        """See `Workplace`."""
        return self._enhancer.offer(self._settings.through_plane)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing works any more."""

    def do(self, todo: Sequence[Job], dest: Path, privacy: Privacy, events: Events) -> Generator[Finished, None, None]:
        """Do the jobs, telling of every slab of slices."""
        from med_stylesr.service.attempts import attempt
        from med_stylesr.service.jobs import Bench

        bench = Bench(dest, self._settings, self._enhancer, privacy)
        for job in todo:
            events(begun(job, len(todo)))
            yield attempt(job, bench, lambda done, total, job=job: events(_progress(job, done, total)))  # type: ignore[misc]


class WorkerProcesses(AbstractContextManager["WorkerProcesses"]):
    """Does jobs in bounded worker processes; one that dies loses its own scan only, and that not at once.

    The first one starts with this object, and what is not work for it can be done meanwhile.
    """

    starts_apart = True

    def __init__(self, settings: EnhanceSettings, jobs: int) -> None:
        self._settings = settings
        self._memory = _memory_limit(settings, jobs)
        self._crew: Crew[Job, Finished] = Crew(_work, _start, (settings, self._memory), jobs, self._memory)
        self._crew.hire()

    @cached_property
    def offer(self) -> Offer:
        """See `Workplace`."""
        offer: Offer = self._crew.begin()
        return offer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the workers."""
        self._crew.close()

    def do(self, todo: Sequence[Job], dest: Path, privacy: Privacy, events: Events) -> Generator[Finished, None, None]:
        """Do the jobs, telling of every slab of slices of each."""
        from med_stylesr.service.attempts import event_of

        self._crew.share(_accept, dest, privacy)

        def buried(job: Job, process: int) -> Finished | None:
            told = recovered(record_path(dest, job.entry.fingerprint))
            remove_leftovers(dest, process)
            return None if told is None else event_of(job, Entry(**told))

        self._crew.buried = buried
        results = self._crew.spread(
            todo,
            began=lambda job: events(begun(job, len(todo))),
            heard=lambda job, told: events(_progress(job, *told)),
            allowed=lambda job: seconds_allowed(job, self._settings),
        )
        with closing(results):
            for job, result in results:
                yield _given_up(job, privacy, result) if isinstance(result, Lost) else result


def _memory_limit(settings: EnhanceSettings, jobs: int) -> int | None:
    if settings.limits is None or settings.limits.memory_mb == 0:
        return None
    if settings.limits.memory_mb is not None:
        return settings.limits.memory_mb << 20
    free = available_bytes()
    return None if free is None else int(free * _FREE_SHARE / jobs)


def seconds_allowed(job: Job, settings: EnhanceSettings) -> float | None:
    """How long a job may take, or None for as long as it likes."""
    if settings.limits is None or settings.limits.minutes == 0:
        return None
    if settings.limits.minutes is not None:
        return settings.limits.minutes * 60
    return _BASE_SECONDS + _SECONDS_PER_MEGAVOXEL * result_voxels(job, settings) / 1e6


def result_voxels(job: Job, settings: EnhanceSettings) -> int:
    """Voxels of a job's result; for volume files, which are not read yet, about as many as they have bytes."""
    from med_stylesr.io.series import DicomSeries

    if not isinstance(job.item, DicomSeries):
        factor = 1
        for s in settings.options.scale:
            factor *= s
        return job.item.path.stat().st_size * factor if job.item.path.exists() else 0
    grid = job.item.grid
    try:
        scale = settings.options_for(grid.spacing_mm).scale
    except MedStyleError:
        scale = (1, 1, 1)
    voxels = 1
    for n, s in zip(grid.shape, scale, strict=True):
        voxels *= n * s
    return voxels


_enhancer: Enhancer | None = None
_settings: EnhanceSettings | None = None
_bench: Bench | None = None


def _start(settings: EnhanceSettings, memory_bytes: int | None) -> Offer:
    """Of a worker process: load what every job needs."""
    global _enhancer, _settings
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    _enhancer, _settings = load_enhancer(settings), settings
    if memory_bytes is not None and not _enhancer.on_gpu:
        # A GPU's driver reserves address space without using it, which this bound would count.
        bound_own(memory_bytes)
    return _enhancer.offer(settings.through_plane)


def _accept(dest: Path, privacy: Privacy) -> None:
    """Of a worker process: where to work, which keeps the next run out until this process has ended."""
    global _bench
    from med_stylesr.service.jobs import Bench

    if _enhancer is None or _settings is None:
        raise RuntimeError("worker was not started")
    if _bench is None or _bench.dest != dest:
        join_use(dest)
    _bench = Bench(dest, _settings, _enhancer, privacy)


def _work(job: Job, tell: Callable[[tuple[int, int]], None]) -> Finished:
    from med_stylesr.service.attempts import attempt

    if _bench is None:
        raise RuntimeError("worker has no place to work in")
    return attempt(job, _bench, lambda done, total: tell((done, total)), die_without_memory=True)


def _given_up(job: Job, privacy: Privacy, lost: Lost) -> Finished:
    from med_stylesr.service.attempts import failed

    if not lost.begun:
        # Not quarantined: it has killed nothing.
        reason = f"no worker process could be started: the last one {lost.reason}; see --memory-limit"
        return failed(job, privacy, reason, reason)
    reason = f"given up after two tries: its worker process {lost.reason}; see --memory-limit and --time-limit"
    return failed(job, privacy, reason, reason, quarantined=True)


def begun(job: Job, total: int) -> Mapping[str, Any]:
    """The event of a job that a worker has taken."""
    return {"event": "series", "source": job.shown, "number": job.number, "total": total}


def _progress(job: Job, done: int, total: int) -> Mapping[str, Any]:
    return {"event": "progress", "source": job.shown, "number": job.number, "done": done, "total": total}


__all__ = ["Workplace", "begun", "load_enhancer", "result_voxels", "seconds_allowed", "workplace"]
