"""Ways to stop a run in order, besides Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress


def stop_in_order(stop_with_stdin: bool) -> None:
    """Let a request to end (SIGTERM), and the end of standard input if asked for, stop the run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    if stop_with_stdin:
        threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _stop_when_stdin_closes() -> None:
    # Not through sys.stdin: Python aborts at its end if a thread still waits inside that object.
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    # Not SIGINT: a program started in the background may have been told to ignore that one.
    signal.raise_signal(signal.SIGTERM)
