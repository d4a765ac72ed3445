"""Work spread over processes: a worker that dies takes one item with it, and all stop when their parent does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

GRACE_SECONDS: Final = 20
"""Time that a worker has to clean up when the run is stopped."""


def spread(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    began: Callable[[Item], None],
) -> Generator[tuple[Item, Result | None], None, None]:
    """Do `work` on every item in worker processes; yields items with their results as they finish.

    No more items than workers are under way at once, so that few are in doubt when a worker dies: each of these gets
    a worker to itself then, and what kills that one has None for its result. Closing the generator stops all workers.

    Args:
        work: importable function of an item; what it returns must be picklable.
        items: picklable.
        jobs: worker processes.
        start: called once in every worker with `arguments`.
        arguments: picklable.
        began: told, in this process, of every item that a worker takes.
    """
    waiting = deque(items)
    while waiting:
        doubtful = yield from _shift(work, waiting, jobs, start, arguments, began)
        for item in doubtful:
            if (yield from _shift(work, deque([item]), 1, start, arguments, began)):
                yield item, None


def _shift(
    work: Callable[[Item], Result],
    waiting: deque[Item],
    jobs: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    began: Callable[[Item], None],
) -> Generator[tuple[Item, Result | None], None, list[Item]]:
    """Work until nothing waits or a worker has died; returns the items that were under way then."""
    with _pool(min(jobs, len(waiting)), start, arguments) as pool:
        running: dict[Future[Result], Item] = {}
        doubtful: list[Item] = []
        while running or (waiting and not doubtful):
            try:
                while waiting and not doubtful and len(running) < jobs:
                    with _interruption_held_back():
                        future = pool.submit(_working, work, waiting[0])
                    running[future] = waiting.popleft()
                    began(running[future])
            except BrokenProcessPool:
                # The item was not taken; it is not in doubt unless no worker can be started at all.
                if not running:
                    doubtful.append(waiting.popleft())
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    doubtful.append(item)
                else:
                    yield item, result
        return doubtful


@contextmanager
def _pool(jobs: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(reader, start, arguments))
    try:
        yield pool
    except BaseException:
        writer.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        writer.close()
        reader.close()


@contextmanager
def _interruption_held_back() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; those started here never see it, their parent tells them to stop."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_busy = threading.Event()


def _begin(reader: Connection, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_stop_with_parent, args=(reader,), daemon=True).start()
    start(*arguments)


def _working(work: Callable[[Item], Result], item: Item) -> Result:
    _busy.set()
    try:
        return work(item)
    except KeyboardInterrupt:
        # Context managers have cleaned up on the way here; nobody waits for a result any more.
        os._exit(1)
    finally:
        _busy.clear()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop_with_parent(reader: Connection) -> None:
    """Wait until the other end of the pipe is closed, which also happens when the parent is killed."""
    with suppress(EOFError, OSError):
        reader.recv_bytes()
    if _busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
    os._exit(1)
