"""One run at a time in a DEST, and none before the workers of a killed one have ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from med_stylesr.errors import InputError, UsageError

WAIT_SECONDS: Final = 30.0
"""Longer than workers take to notice that their run was killed (`processes.GRACE_SECONDS`)."""
_POLL_SECONDS: Final = 0.1


@contextmanager
def sole_use(dest: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Make `dest` and keep other runs out of it; the kernel lets go when the process ends, however it ends.

    The folder itself is locked, so nothing is left behind. Where there are no locks (some network file systems,
    Windows) this keeps nobody out.

    Raises:
        UsageError: if another run, or a worker of one, is at work in it and stays.
        InputError: if it cannot be made.
    """
    try:
        dest.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot be made ({error.strerror or error})"
        raise InputError(str(dest), why, "check the permissions or choose another DEST") from error
    held = _locked(dest, wait_seconds, alone=True)
    if held is None:
        yield
        return
    try:
        yield
    finally:
        os.close(held)


def join_use(dest: Path) -> None:
    """Of a worker process: keep the next run waiting until this process has ended."""
    _locked(dest, WAIT_SECONDS, alone=False)


def _locked(dest: Path, wait_seconds: float, alone: bool) -> int | None:
    """Descriptor that holds a shared lock, first made sure to be alone if asked for; None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(dest, os.O_RDONLY)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            if alone:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Shared from here on, so that the workers of this run can join.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                why = "another run is at work in it"
                raise UsageError(str(dest), why, "wait until it has ended or choose another DEST") from None
            time.sleep(_POLL_SECONDS)
        except OSError:
            with suppress(OSError):
                os.close(handle)
            return None
