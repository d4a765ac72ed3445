"""What a worker process does: starts once, works item after item, and stops when its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

GRACE_SECONDS: Final = 20
"""Time that a worker has to clean up when the run is stopped."""
OUT_OF_MEMORY: Final = 77
"""Exit status of a worker that could get no more memory."""
DEBUG_VARIABLE: Final = "MED_STYLESR_DEBUG"
"""Set by `med-stylesr --debug`: tracebacks of internal errors are shown."""

_busy = threading.Event()
_stopped = threading.Event()


def serve(
    connection: Connection,
    lifeline: Connection,
    work: Callable[[Any, Callable[[Any], None]], Any],
    start: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Entry point of the process; see `processes.Crew` for the arguments.

    Args:
        connection: to the parent: items come in, what is told and results go out.
        lifeline: nothing ever comes in; it ends when the parent does.
        work: does an item.
        start: called once.
        arguments: for `start`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_stop_with_parent, args=(lifeline,), daemon=True).start()
    try:
        connection.send(("ready", start(*arguments)))
    except Exception as error:
        _show(error)
        with suppress(Exception):
            connection.send(("unfit", error))
        return
    try:
        while True:
            kind, *given = connection.recv()
            if kind == "share":
                accept, shared = given
                accept(*shared)
                continue
            _busy.set()
            result = work(given[0], lambda told: connection.send(("told", told)))
            _busy.clear()
            connection.send(("result", result))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException as error:
        # Mostly the end of the parent. Context managers have cleaned up on the way here; nobody waits for a result.
        _show(error)
        os._exit(1)


def _show(error: BaseException) -> None:
    if os.environ.get(DEBUG_VARIABLE) and not isinstance(error, (EOFError, KeyboardInterrupt)):
        traceback.print_exception(error)


def require_unstopped() -> None:
    """To be called before what cannot be taken back.

    Raises:
        KeyboardInterrupt: if this worker was told to stop. Compiled code may turn the first one into an error of its
            own, or drop it; what came of that must not pass for a result.
    """
    if _stopped.is_set():
        raise KeyboardInterrupt


def _interrupt(signum: int, frame: object) -> None:
    _stopped.set()
    raise KeyboardInterrupt


def _stop_with_parent(lifeline: Connection) -> None:
    """Wait until the other end of the pipe is closed, which also happens when the parent is killed."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    if _busy.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
    os._exit(1)
