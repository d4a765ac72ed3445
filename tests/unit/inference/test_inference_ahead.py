"""Working ahead changes neither order nor errors, and is never far ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from med_stylesr.inference.ahead import ahead


def test_order_and_number_stay() -> None:
    assert list(ahead(iter(range(50)), 1)) == list(range(50))


def test_none_is_an_item_like_any_other() -> None:
    assert list(ahead(iter([None, 1, None]), 2)) == [None, 1, None]


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise MemoryError("full")

    stream = ahead(broken(), 1)
    assert next(stream) == 1
    with pytest.raises(MemoryError, match="full"):
        next(stream)


def test_never_more_than_depth_and_one_in_the_making_ahead() -> None:
    made: list[int] = []

    def making() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    for taken in ahead(making(), 1):
        time.sleep(0.005)
        assert len(made) <= taken + 3


def test_the_next_item_is_made_while_this_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def making() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    for taken in ahead(making(), 1):
        if taken + 1 < len(made):
            assert made[taken + 1].wait(10)


def test_closing_stops_the_thread() -> None:
    before = threading.active_count()
    stream = ahead(iter(range(1000)), 1)
    next(stream)
    stream.close()
    assert threading.active_count() == before
