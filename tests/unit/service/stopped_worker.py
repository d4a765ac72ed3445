"""Work for the processes of test_service_processes.py: cheap to import in a new process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def nothing() -> None:
    pass


def begin_badly() -> None:
    os._exit(3)


def square_or_die(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def wait_for_ever(folder: str) -> int:
    here = Path(folder, f"worker-{os.getpid()}")
    try:
        here.touch()
        time.sleep(600)
    finally:
        here.unlink(missing_ok=True)
    return 0


def square_or_wait(number_or_folder: str) -> int:
    if number_or_folder.isdigit():
        return int(number_or_folder) ** 2
    return wait_for_ever(number_or_folder)
