"""Several slices at the same time, each on its share of the threads, instead of every slice on all of them.

Threads that share one slice wait for each other after every layer: idle at best, and for as long as any other process
keeps one of the cores where that process is busy. Slices side by side never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import torch

MOST_LANES: Final = 4
"""More would hold more slices' features in memory than caches do."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def lanes_for(threads: int) -> int:
    """How many slices are worked on at the same time by so many threads."""
    return max(1, min(threads, MOST_LANES))


class Lanes:
    """Threads that work side by side; they start with the first work.

    Args:
        count: how many; 1 works in the calling thread.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results of `work` in the order of the items, which this thread takes while the others work."""
        if self.count == 1:
            return [work(item) for item in items]
        if self._pool is None:
            self._pool = _started(self.count)
        return list(self._pool.map(work, items))


def _started(count: int) -> ThreadPoolExecutor:
    """A pool whose threads share out torch's own threads."""
    total = torch.get_num_threads()
    ready = threading.Barrier(count + 1)

    def take_share() -> None:
        # Asked first: torch gives a thread the number of the whole process when it first asks.
        torch.get_num_threads()
        torch.set_num_threads(max(1, total // count))
        ready.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="lane")
    for _ in range(count):
        pool.submit(take_share)
    ready.wait()
    # The threads keep their share; this one and those to come have all again.
    torch.set_num_threads(total)
    return pool
