"""Native libraries kept from writing to standard error: what they have to say comes back as an exception."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_STANDARD_ERROR: Final = 2
_one_at_a_time = threading.Lock()


@contextmanager
def silenced() -> Iterator[None]:
    """Send file descriptor 2 nowhere for the time of a native call (GDCM, MetaIO and others print on damaged data)."""
    with _one_at_a_time:
        with suppress(AttributeError, ValueError, OSError):
            sys.stderr.flush()
        try:
            kept = os.dup(_STANDARD_ERROR)
        except OSError:
            # There is no standard error at all.
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STANDARD_ERROR)
            yield
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)
            os.close(nowhere)
