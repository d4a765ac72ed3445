"""Work spread over bounded processes: one that crashes, hangs or balloons is replaced, and its item tried once more."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from med_stylesr.service.memory import resident_bytes
from med_stylesr.service.worker_main import GRACE_SECONDS, OUT_OF_MEMORY, serve

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIES: Final = 2
"""How often an item is begun before it is given up."""
_POLL_SECONDS: Final = 0.25
_START_SECONDS: Final = 600
_START_TRIES: Final = 3


@dataclass(frozen=True)
class Lost:
    """What stands for the result of an item that no worker could finish.

    Attributes:
        reason: what became of the worker the last time.
        begun: whether a worker has ever begun with it.
    """

    reason: str
    begun: bool = True


@dataclass
class _Worker(Generic[Item]):
    process: SpawnProcess
    connection: Connection
    deadline: float | None
    item: Item | None = None
    ready: bool = False
    shared: bool = False
    verdict: str = ""


@dataclass
class _Waiting(Generic[Item]):
    items: deque[Item]
    tried: dict[int, int] = field(default_factory=dict)


class Crew(Generic[Item, Result]):
    """Worker processes for any number of items; a context manager that stops them all at its end.

    Args:
        work: importable function of an item and a function that passes anything picklable on to `heard`.
        start: importable; called once in every worker with `arguments`; what it returns is that of `begin`.
        arguments: picklable.
        jobs: worker processes.
        memory_bytes: resident memory above which a worker is stopped, or None.
        buried: told every item whose worker has died, with the process id; may know a result in spite of that.
    """

    def __init__(
        self,
        work: Callable[[Item, Callable[[Any], None]], Result],
        start: Callable[..., Any],
        arguments: tuple[Any, ...],
        jobs: int,
        memory_bytes: int | None = None,
        buried: Callable[[Item, int], Result | None] = lambda item, process: None,
    ) -> None:
        self._work, self._start, self._arguments, self._jobs = work, start, arguments, jobs
        self._memory_bytes, self.buried = memory_bytes, buried
        self._context = multiprocessing.get_context("spawn")
        self._lifeline, self._parent = self._context.Pipe(duplex=False)
        self._workers: list[_Worker[Item]] = []
        self._share: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self._start_failures, self._start_failure = 0, ""

    def __enter__(self) -> Crew[Item, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self) -> Any:
        """Wait for the first worker, hired before; returns what `start` returned there.

        Raises:
            Exception: what `start` raised.
            RuntimeError: if the process ended instead.
        """
        worker = self._workers[0]
        if not wait([worker.connection, worker.process.sentinel], timeout=_START_SECONDS):
            raise RuntimeError("a worker process did not start in time")
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(GRACE_SECONDS)
            raise RuntimeError(f"a worker process could not start ({_ending(worker.process)})") from None
        if kind == "unfit":
            raise value
        worker.ready, worker.deadline = True, None
        return value

    def share(self, accept: Callable[..., None], *arguments: Any) -> None:
        """Have every worker call an importable function before its next item."""
        self._share = (accept, arguments)
        for worker in self._workers:
            worker.shared = False

    def spread(
        self,
        items: Iterable[Item],
        began: Callable[[Item], None],
        heard: Callable[[Item, Any], None] = lambda item, told: None,
        allowed: Callable[[Item], float | None] = lambda item: None,
    ) -> Generator[tuple[Item, Result | Lost], None, None]:
        """Do the work on every item; yields items with their results as they finish.

        An item whose worker dies, or is stopped for taking more time or memory than it may, goes to the end of the
        queue once and is given up the second time.

        Args:
            items: picklable.
            began: told, in this process, of every item that a worker takes.
            heard: told what workers pass on meanwhile.
            allowed: seconds that an item may take, or None.
        """
        queue = _Waiting(deque(items))
        while queue.items or any(worker.item is not None for worker in self._workers):
            yield from self._assign(queue, began, allowed)
            yield from self._listen(queue, heard)

    def close(self) -> None:
        """Stop all workers; those at work may clean up first."""
        self._parent.close()
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.close()
        deadline = time.monotonic() + GRACE_SECONDS + 2
        for worker in self._workers:
            worker.process.join(max(0.1, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()
        self._lifeline.close()

    def hire(self) -> None:
        """Start a worker, without waiting for it."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._lifeline, self._work, self._start, self._arguments), daemon=False
        )
        with _interruption_held_back():
            process.start()
        theirs.close()
        worker: _Worker[Item] = _Worker(process, ours, time.monotonic() + _START_SECONDS)
        self._workers.append(worker)

    def _assign(
        self, queue: _Waiting[Item], began: Callable[[Item], None], allowed: Callable[[Item], float | None]
    ) -> Generator[tuple[Item, Result | Lost], None, None]:
        busy = sum(worker.item is not None for worker in self._workers)
        while len(self._workers) < min(self._jobs, len(queue.items) + busy):
            if self._start_failures >= _START_TRIES:
                break
            self.hire()
        if not self._workers:
            # Whatever stops processes from starting will stop the next one as well.
            while queue.items:
                yield queue.items.popleft(), Lost(self._start_failure, begun=False)
        for worker in self._workers:
            if worker.ready and worker.item is None and queue.items:
                item = queue.items.popleft()
                try:
                    if self._share is not None and not worker.shared:
                        worker.connection.send(("share", *self._share))
                        worker.shared = True
                    worker.connection.send(("work", item))
                except OSError:
                    # It has died idle; that is noticed next, and the item was not taken.
                    queue.items.appendleft(item)
                    worker.ready = False
                    continue
                seconds = allowed(item)
                worker.item, worker.deadline = item, None if seconds is None else time.monotonic() + seconds
                began(item)

    def _listen(
        self, queue: _Waiting[Item], heard: Callable[[Item, Any], None]
    ) -> Generator[tuple[Item, Result | Lost], None, None]:
        speaking = set(wait([worker.connection for worker in self._workers], timeout=_POLL_SECONDS))
        for worker in list(self._workers):
            if worker.connection in speaking:
                yield from self._hear(worker, queue, heard)
            else:
                self._judge(worker)

    def _hear(
        self, worker: _Worker[Item], queue: _Waiting[Item], heard: Callable[[Item, Any], None]
    ) -> Generator[tuple[Item, Result | Lost], None, None]:
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, queue)
            return
        item = worker.item
        if kind == "ready":
            worker.ready, worker.deadline, self._start_failures = True, None, 0
        elif kind == "told" and item is not None:
            heard(item, value)
        elif kind == "result" and item is not None:
            worker.item, worker.deadline = None, None
            yield item, value

    def _bury(self, worker: _Worker[Item], queue: _Waiting[Item]) -> Generator[tuple[Item, Result | Lost], None, None]:
        worker.process.join(GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        self._workers.remove(worker)
        worker.connection.close()
        item = worker.item
        if item is None:
            self._start_failures += 1
            self._start_failure = worker.verdict or _ending(worker.process)
            return
        result = self.buried(item, worker.process.pid or 0)
        if result is not None:
            yield item, result
            return
        tries = queue.tried[id(item)] = queue.tried.get(id(item), 0) + 1
        if tries < TRIES:
            queue.items.append(item)
        else:
            yield item, Lost(worker.verdict or _ending(worker.process))

    def _judge(self, worker: _Worker[Item]) -> None:
        """Stop a worker that has taken too much time or memory; its end is heard of next."""
        if worker.deadline is not None and time.monotonic() > worker.deadline:
            worker.verdict = "took longer than its time limit" if worker.ready else "did not start in time"
        elif self._memory_bytes is not None and resident_bytes(worker.process.pid) > self._memory_bytes:
            worker.verdict = f"took more memory than its limit of {self._memory_bytes >> 20} MB"
        else:
            return
        worker.process.kill()


def _ending(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is None:
        return "ended"
    if code == OUT_OF_MEMORY:
        return "ran out of memory"
    if code < 0:
        names = {one.value: one.name for one in signal.Signals}
        hint = " (out of memory?)" if -code == getattr(signal, "SIGKILL", 9) else ""
        return f"was killed by {names.get(-code, f'signal {-code}')}{hint}"
    return f"ended with status {code}"


@contextmanager
def _interruption_held_back() -> Generator[None, None, None]:
    """Ctrl-C reaches every process of a terminal; those started here never see it, their parent tells them to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
