"""A folder watched: whatever arrives in it is enhanced once it has stopped arriving."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from med_stylesr.errors import UsageError
from med_stylesr.service.batch import Asked, Events, exit_status, privacy_of, refuse_mixture, work_through
from med_stylesr.service.lock import sole_use
from med_stylesr.service.preflight import check_places
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import workplace

_POLL_SHARE: Final = 0.25
_LONGEST_POLL_SECONDS: Final = 5.0


def watch(
    source: Path,
    dest: Path,
    settings: EnhanceSettings,
    *,
    jobs: int,
    cluster: str | None,
    quiet_seconds: float,
    events: Events,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Enhance what is in `source` and whatever arrives there, until interrupted; what is done is never done again.

    Bundles are loaded once. A scan is begun when none of its files has changed for `quiet_seconds`.

    Args:
        source: the folder.
        dest: output folder.
        settings: what to do.
        jobs: scans worked on at the same time.
        cluster: as for `run_batch`.
        quiet_seconds: how long a scan's files must be left alone before it counts as whole.
        events: told what happens; inputs that are not used are told once.
        sleep: waits; raises KeyboardInterrupt to stop.

    Returns:
        Exit status, when interrupted while waiting: 1 if anything has failed.

    Raises:
        UsageError: if `source` is no folder, or options cannot be met.
        KeyboardInterrupt: if interrupted at work; whole results stay, unfinished ones are removed.
    """
    if not source.is_dir():
        raise UsageError(str(source), "is no folder, and only a folder can be watched", "leave --watch out")
    key = settings.key_file
    check_places(source, dest, resume=True, overwrite=False, deidentify=settings.deidentify, key_file=key)
    privacy = privacy_of(settings)
    refuse_mixture(dest, settings)
    asked = Asked(source, dest, settings, jobs, resume=True, retry_quarantined=False)
    handled: dict[str, tuple[int, int]] | None = None

    def arrived(path: Path) -> bool:
        return _is_quiet(path, source, quiet_seconds)

    status, told_once = 0, _once(events)
    with workplace(settings, jobs, cluster) as place, sole_use(dest):
        place.offer.check(settings.options)
        while True:
            quiet = _quiet_files(source, quiet_seconds)
            if quiet and quiet != handled:
                try:
                    manifest = work_through(
                        asked,
                        place,
                        privacy,
                        told_once,
                        nullcontext,
                        lambda path: _is_quiet(path, source, quiet_seconds),
                    )
                    status = max(status, exit_status(manifest))
                except UsageError as error:
                    # Nothing usable in it yet.
                    told_once({"event": "skip", "source": error.what, "reason": error.why, "problem": False})
                handled = quiet
            try:
                sleep(min(_LONGEST_POLL_SECONDS, max(0.05, quiet_seconds * _POLL_SHARE)))
            except KeyboardInterrupt:
                return status


def _quiet_files(source: Path, quiet_seconds: float) -> dict[str, tuple[int, int]]:
    """Files below a folder that have not changed for some time, with size and time of change."""
    found = {}
    latest = time.time() - quiet_seconds
    for folder, _, files in os.walk(source):
        for name in files:
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            if max(status.st_mtime, status.st_ctime) <= latest:
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


def _is_quiet(path: Path, source: Path, quiet_seconds: float) -> bool:
    if source not in path.parents:
        # Unpacked from an archive just now.
        return True
    try:
        status = path.stat()
    except OSError:
        return False
    # A copy may keep the time of the original, but not the time at which its own entry changed.
    return max(status.st_mtime, status.st_ctime) <= time.time() - quiet_seconds


def _once(events: Events) -> Events:
    """Passes on every event but those of inputs that are not used, which come again with every look at the folder."""
    told: set[tuple[str, str]] = set()

    def passed_on(event: Mapping[str, Any]) -> None:
        if event["event"] == "skip":
            what = (str(event["source"]), str(event["reason"]))
            if what in told:
                return
            told.add(what)
        events(event)

    return passed_on
