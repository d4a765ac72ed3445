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
    here.touch()
    try:
        time.sleep(600)
    finally:
        here.unlink()
    return 0
