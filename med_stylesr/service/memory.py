"""How much memory there is, how much a process has, and a bound on what it may take."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

_GROUP: Final = Path("/sys/fs/cgroup")
_LIMITS: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use of a container, control groups version 2 and 1."""


def available_bytes() -> int | None:
    """Memory that could be taken now without swapping, within the container's limit; None where that is not told."""
    found = []
    with suppress(OSError, AttributeError):
        told = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found.append(int(told.group(1)) << 10 if told else 0)
    for limit, use in _LIMITS:
        # "max" is no number: there is no limit.
        with suppress(OSError, ValueError):
            found.append(int((_GROUP / limit).read_text()) - int((_GROUP / use).read_text()))
    return min(found) if found else None


def resident_bytes(process: int | None) -> int:
    """Memory of a process that is its own; 0 where that cannot be told."""
    try:
        resident, shared = Path(f"/proc/{process}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def bound_own(limit_bytes: int) -> None:
    """Let allocations of this process fail beyond a limit, so that one of gigabytes is refused before it is made."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, hard))
