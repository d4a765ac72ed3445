"""Work for the processes of test_service_processes.py: cheap to import in a new process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tell = Callable[[Any], None]
_place: list[str] = []


def nothing() -> str:
    return "ready"


def begin_badly() -> None:
    os._exit(3)


def begin_unfit() -> None:
    raise ValueError("no such device")


def accept(place: str) -> None:
    _place.append(place)


def shared_place(number: int, tell: Tell) -> tuple[int, list[str]]:
    return os.getpid(), list(_place)


def square_or_die(number: int, tell: Tell) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGSEGV if number == -2 else signal.SIGKILL)
    tell(number)
    return number * number


def die_the_first_time(place: str, tell: Tell) -> str:
    mark = Path(place)
    if not mark.exists():
        mark.touch()
        os.abort()
    return "done"


def hang(number: int, tell: Tell) -> int:
    if number < 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    return number


def balloon(megabytes: int, tell: Tell) -> int:
    taken = []
    for _ in range(megabytes // 10):
        taken.append(os.urandom(10 << 20))
        time.sleep(0.01)
    return megabytes


def without_memory(number: int, tell: Tell) -> int:
    raise MemoryError


def wait_for_ever(folder: str, tell: Tell) -> int:
    here = Path(folder, f"worker-{os.getpid()}")
    try:
        here.touch()
        time.sleep(600)
    finally:
        here.unlink(missing_ok=True)
    return 0


def square_or_wait(number_or_folder: str, tell: Tell) -> int:
    if number_or_folder.isdigit():
        return int(number_or_folder) ** 2
    return wait_for_ever(number_or_folder, tell)
