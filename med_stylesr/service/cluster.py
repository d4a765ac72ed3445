"""Jobs done by the workers of a Ray cluster, or of a local Ray: same manifest, same isolation of each scan."""

from __future__ import annotations

import importlib
import os
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from med_stylesr import __version__
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.request import Offer
from med_stylesr.io.publish import recovered, remove_leftovers
from med_stylesr.service.attempts import Finished, attempt, event_of, failed
from med_stylesr.service.lock import join_use
from med_stylesr.service.manifest import Entry, record_path
from med_stylesr.service.memory import bound_own
from med_stylesr.service.plan import Events, Job
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.processes import TRIES
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import begun, load_enhancer, seconds_allowed

if TYPE_CHECKING:
    from med_stylesr.service.jobs import Bench

LOCAL: Final = "local"
"""In place of an address: a Ray of this machine alone, started and ended with the run."""
_POLL_SECONDS: Final = 1.0
_START_SECONDS: Final = 600.0
_START_TRIES: Final = 3


class SeriesWorker:
    """What a Ray worker does; see `workers.WorkerProcesses` for what the same is on one machine.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: EnhanceSettings) -> None:
        if settings.threads:
            import torch

            torch.set_num_threads(settings.threads)
        self._settings, self._enhancer = settings, load_enhancer(settings)
        memory = settings.limits.memory_mb if settings.limits else None
        if memory and not self._enhancer.on_gpu:
            bound_own(memory << 20)
        self._bench: Bench | None = None

    def introduce(self) -> tuple[Offer, str, int]:
        """What its bundles offer, its version of this package, and its process id."""
        return self._enhancer.offer(self._settings.through_plane), __version__, os.getpid()

    def do(self, job: Job, dest: Path, privacy: Privacy) -> Finished:
        """Do a job; its place and its source must be seen from this machine under the same paths."""
        from med_stylesr.service.jobs import Bench

        if self._bench is None:
            if not dest.is_dir():
                why = "is not there on a machine of the cluster"
                raise InputError(str(dest), why, "put SOURCE and DEST on a file system that all machines share")
            join_use(dest)
            self._bench = Bench(dest, self._settings, self._enhancer, privacy)
        return attempt(job, self._bench, lambda done, total: None, die_without_memory=True)


@dataclass
class _Hired:
    """A Ray worker: not ready while it waits for a place in the cluster and starts; then with a job or without."""

    actor: Any
    ready: bool = False
    job: Job | None = None
    deadline: float | None = None
    verdict: str = ""


class RayWorkers(AbstractContextManager["RayWorkers"]):
    """Does jobs in workers of Ray; one that dies loses its own scan only, and that is tried once more.

    Args:
        settings: of the run.
        jobs: workers.
        address: "local", "auto" or that of a cluster, for example ray://head:10001.

    Raises:
        UsageError: if there is no Ray, no such cluster, or the bundle or the device cannot be used.
    """

    starts_apart = True

    def __init__(self, settings: EnhanceSettings, jobs: int, address: str) -> None:
        self._settings, self._jobs = settings, jobs
        self._ray = _connected(address, jobs, max(1, settings.threads))
        needs = {"num_cpus": max(1, settings.threads), "num_gpus": 1 if settings.device.startswith("cuda") else 0}
        self._worker_class = self._ray.remote(**needs, max_restarts=0)(SeriesWorker)
        self._hired: list[_Hired] = []
        self._expected: dict[Any, _Hired] = {}
        self._failed_starts = 0
        try:
            self.offer: Offer = self._first_offer()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the workers."""
        self._end()

    def do(self, todo: Sequence[Job], dest: Path, privacy: Privacy, events: Events) -> Generator[Finished, None, None]:
        """Do the jobs, telling of the begin and the end of each."""
        place = dest.absolute()
        waiting, tries = deque(todo), dict.fromkeys((job.number for job in todo), 0)
        try:
            while waiting or any(hired.job for hired in self._hired):
                self._hire(len(waiting) + sum(hired.job is not None for hired in self._hired))
                if not self._hired:
                    reason = "no worker could be started"
                    yield failed(waiting.popleft(), privacy, reason, reason)
                    continue
                for hired in [h for h in self._hired if h.ready and h.job is None][: len(waiting)]:
                    self._assign(hired, waiting.popleft(), place, privacy)
                    events(begun(hired.job, len(todo)))  # type: ignore[arg-type]
                ended, _ = self._ray.wait(list(self._expected), num_returns=1, timeout=_POLL_SECONDS)
                for reference in ended:
                    job, finished = self._heard(reference, place)
                    if job is None:
                        continue
                    tries[job.number] += 1
                    if isinstance(finished, Finished):
                        yield finished
                    elif tries[job.number] < TRIES:
                        waiting.append(job)
                    else:
                        reason = f"given up after two tries: its worker {finished}"
                        yield failed(job, privacy, reason, reason, quarantined=True)
                self._stop_the_late()
        finally:
            self._end()
            # Of workers that were killed; nobody of this run works any more.
            remove_leftovers(place)

    def _assign(self, hired: _Hired, job: Job, dest: Path, privacy: Privacy) -> None:
        seconds = seconds_allowed(job, self._settings)
        hired.job, hired.deadline = job, None if seconds is None else time.monotonic() + seconds
        self._expected[hired.actor.do.remote(job, dest, privacy)] = hired

    def _heard(self, reference: Any, dest: Path) -> tuple[Job | None, Finished | str]:
        """What was expected of a worker: that it has started (no job), or its job and what became of that."""
        hired = self._expected.pop(reference)
        if hired.job is not None:
            finished = self._result(reference, hired, hired.job, dest)
            job, hired.job, hired.deadline = hired.job, None, None
            return job, finished
        try:
            _require_same(self._ray.get(reference)[1])
            hired.ready = True
        except self._ray.exceptions.RayError:
            self._failed_starts += 1
            self._dismiss(hired)
        return None, ""

    def _result(self, reference: Any, hired: _Hired, job: Job, dest: Path) -> Finished | str:
        """What a worker brought back, or what became of it."""
        try:
            return self._ray.get(reference)  # type: ignore[no-any-return]
        except self._ray.exceptions.RayTaskError as error:
            cause = error.as_instanceof_cause()
            if isinstance(cause, InputError):
                raise InputError(cause.what, cause.why, cause.todo) from error
            ending = "ran out of memory" if isinstance(cause, MemoryError) else f"failed ({type(cause).__name__})"
        except self._ray.exceptions.RayError as error:
            ending = hired.verdict or f"died ({type(error).__name__})"
        self._dismiss(hired)
        told = recovered(record_path(dest, job.entry.fingerprint))
        return ending if told is None else event_of(job, Entry(**told))

    def _stop_the_late(self) -> None:
        for hired in self._hired:
            if hired.deadline is not None and time.monotonic() > hired.deadline:
                hired.verdict, hired.deadline = "took longer than its time limit", None
                self._ray.kill(hired.actor)

    def _hire(self, wanted: int) -> None:
        """Have as many workers as are wanted, and no more than there may be; they come when the cluster has room."""
        while len(self._hired) < min(wanted, self._jobs) and self._failed_starts < _START_TRIES:
            hired = _Hired(self._worker_class.remote(self._settings))
            self._hired.append(hired)
            self._expected[hired.actor.introduce.remote()] = hired

    def _dismiss(self, hired: _Hired) -> None:
        self._hired.remove(hired)
        with suppress(Exception):
            self._ray.kill(hired.actor)

    def _first_offer(self) -> Offer:
        self._hire(1)
        (introduction,) = self._expected
        try:
            offer, version, _ = self._ray.get(introduction, timeout=_START_SECONDS)
        except self._ray.exceptions.GetTimeoutError as error:
            why = f"no worker started in {_START_SECONDS:.0f} seconds"
            raise UsageError("--cluster", why, "check that it has free CPUs, or GPUs for --device cuda") from error
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, UsageError):
                raise UsageError(cause.what, cause.why, cause.todo) from error
            why = f"a worker could not start ({type(cause).__name__})"
            raise UsageError("--cluster", why, "install the same version of med-stylesr on all machines") from error
        _require_same(version)
        return offer  # type: ignore[no-any-return]

    def _end(self) -> None:
        """Stop all workers and wait until they have ended."""
        for hired in list(self._hired):
            self._dismiss(hired)
        self._ray.shutdown()


def _require_same(version: str) -> None:
    if version != __version__:
        why = f"a machine has version {version} of med-stylesr, this one {__version__}"
        raise UsageError("--cluster", why, "install the same on all machines")


def _connected(address: str, jobs: int, threads: int) -> Any:
    """The `ray` package, connected."""
    # Ray would tell its makers of every start.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--cluster", "needs Ray, which is not installed", "pip install 'med-stylesr[cluster]'"
        ) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address == LOCAL:
        where: dict[str, Any] = {"address": LOCAL, "num_cpus": jobs * threads, "include_dashboard": False}
    else:
        where = {"address": address}
    # Standard output is for progress, which programs read (--json); Ray would write there of workers that died.
    vars(importlib.import_module("ray._private.worker"))["print_to_stdstream"] = lambda *told, **how: None
    try:
        ray.init(**where, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        why = f"cannot be reached ({type(error).__name__})"
        raise UsageError(f"--cluster {address}", why, "use local, auto or ray://HEAD:10001") from error
    return ray
