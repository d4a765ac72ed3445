"""What the system refused, as one line for the screen."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import typer

from med_stylesr.errors import one_line

_INSTALLED: Final = frozenset({Path(__file__).resolve().parents[1], Path(typer.__file__).resolve().parents[1]})
"""Folders of this program and of the packages that it needs."""


def place_line(error: Exception) -> str:
    """The line that tells of a file or folder which the system refuses; empty for any other error.

    Files that belong to the program or its packages are no choice of the user's: what is wrong there is to be reported.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return ""
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if _INSTALLED & set(Path(name).absolute().parents) or not (name or full):
        return ""
    todo = "make room or choose another path" if full else "choose another path"
    return f"{one_line(name or 'output')}: {error.strerror}; {todo}"
