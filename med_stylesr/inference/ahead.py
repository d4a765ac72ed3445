"""Work one step ahead: the next slab is decoded and inferred while the last one is encoded and written."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], depth: int) -> Generator[Item, None, None]:
    """Yield what `items` yields, taken from it by a thread of its own; an error there is raised here, in its turn.

    Python threads take turns, but convolutions, decoders, encoders and the disk wait for none of them. Closing the
    generator stops the thread after the item that it is at.

    Args:
        items: taken from in one thread only, but not this one.
        depth: items made before they are asked for, besides the one being made.
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None]) -> None:
        taken = False
        while not (taken or stop.is_set()):
            with suppress(queue.Full):
                waiting.put(entry, timeout=0.2)
                taken = True

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
