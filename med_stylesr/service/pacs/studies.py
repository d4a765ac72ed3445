"""Enhances a study once it is complete: `med-stylesr enhance` as a process of its own, one study at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from med_stylesr.errors import one_line
from med_stylesr.service.manifest import DONE
from med_stylesr.service.manifest import NAME as MANIFEST
from med_stylesr.service.pacs.delivery import is_due, pause_after
from med_stylesr.service.pacs.incoming import Incoming
from med_stylesr.service.pacs.journal import Journal
from med_stylesr.service.pacs.queue import RECEIVING, Queue
from med_stylesr.service.pacs.queue_records import Study
from med_stylesr.service.pacs.serve_settings import ServeSettings

FOLDER: Final = "derived"
ENHANCE: Final = (sys.executable, "-m", "med_stylesr", "enhance")
"""The program that enhances; SOURCE, DEST and options follow."""
_FIXED: Final = (
    "--resume",
    "--retry-quarantined",
    "--overwrite",
    "--format",
    "dicom",
    "--no-report",
    "--stop-with-stdin",
)
"""Go on where a killed one stopped, replace what it left unrecorded, end when this process ends."""
_GRACE_S: Final = 30.0
_REASONS: Final = 3
"""So many lines of what went wrong are kept; the manifest has all."""


class StudyFailedError(Exception):
    """A study, or a series of it, that could not be enhanced; the text may quote headers."""


class Enhancing:
    """Works off the studies of a queue.

    Args:
        state: folder of the server.
        settings: of the server.
        queue: its queue.
        incoming: its images.
        is_sending: whether somebody is still sending images of a study (by its key).
        journal: the log.
        program: what to run, see `ENHANCE`.

    Attributes:
        busy_since: time at which the study under way was begun, or None.
    """

    def __init__(
        self,
        state: Path,
        settings: ServeSettings,
        queue: Queue,
        incoming: Incoming,
        is_sending: Callable[[str], bool],
        journal: Journal,
        program: Sequence[str] = ENHANCE,
    ) -> None:
        self._state, self._settings, self._queue, self._incoming = state, settings, queue, incoming
        self._is_sending, self._journal, self._program = is_sending, journal, tuple(program)
        self._destinations = tuple(one.name for one in settings.destinations)
        self.busy_since: float | None = None

    def run(self, stop: threading.Event, tick_s: float) -> None:
        """Enhance until told to stop."""
        while not stop.is_set():
            if not self.enhance_one(stop):
                stop.wait(tick_s)

    def enhance_one(self, stop: threading.Event) -> bool:
        """Enhance the study whose turn it is; returns whether there was one."""
        now = time.time()
        for study in self._queue.studies(RECEIVING):
            if is_due(study.next_try, now, self._settings) and self._is_complete(study, now):
                self.busy_since = now
                try:
                    self._work_off(study, stop)
                finally:
                    self.busy_since = None
                return True
        return False

    def _is_complete(self, study: Study, now: float) -> bool:
        # The clock may have been set back; then its last image is as far away as it seems to lie ahead.
        silence, settings = abs(now - study.changed), self._settings
        # Idle associations are closed after the time limit: one that is still open then sends other studies.
        busy_with_others = silence >= settings.quiet_s + settings.timeout_s
        return silence >= settings.quiet_s and (busy_with_others or not self._is_sending(study.key))

    def _work_off(self, study: Study, stop: threading.Event) -> None:
        mark = self._journal.mark(study.uid)
        images = self._queue.instances(study.key)
        if not any(image.enhanceable for image in images):
            self._queue.enhanced(study, (), (), time.time())
            self._journal.tell("study without CT volumes", study=mark, images=len(images))
            return
        self._journal.tell("study complete", study=mark, images=len(images))
        began = time.monotonic()
        try:
            folders = self._enhance(study, stop)
        except StudyFailedError as error:
            self._failed(study, str(error), mark)
        except OSError as error:
            self._failed(study, f"the work cannot be done on this machine now ({error})", mark)
        else:
            if folders is not None:
                self._queue.enhanced(study, folders, self._destinations, time.time())
                seconds = round(time.monotonic() - began, 1)
                self._journal.tell("study enhanced", study=mark, series=len(folders), seconds=seconds)

    def _enhance(self, study: Study, stop: threading.Event) -> list[str] | None:
        """Folders of the derived series of a study, relative to the server's; None if the server is to stop.

        Raises:
            StudyFailedError: with the reason; what was done is delivered nevertheless.
        """
        dest = self._state / FOLDER / study.key
        errors = self._state / "enhance.stderr"
        with errors.open("w+", encoding="utf-8", errors="replace") as told:
            command = [*self._program, str(self._incoming.folder / study.key), str(dest), *_FIXED]
            process = subprocess.Popen(
                [*command, *self._settings.limits, *self._settings.enhance],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=told,
            )
            status = self._wait(process, stop)
            told.seek(0)
            lines = told.read().splitlines()
        if status is None:
            return None
        record = _record(dest)
        places = [dest / place for entry in record if entry["status"] == DONE for place in entry["outputs"]]
        folders = [place.relative_to(self._state).as_posix() for place in places if place.is_dir()]
        if status == 0:
            return folders
        # What is done must not wait for what may never be.
        self._queue.deliver(study, folders, self._destinations, time.time())
        # Not the manifest's reasons: it withholds them when results are de-identified.
        reasons = [line.removeprefix("med-stylesr: ") for line in lines if ": warning: " not in line]
        raise StudyFailedError(one_line("; ".join(reasons[-_REASONS:]) or f"it ended with status {status}"))

    def _wait(self, process: subprocess.Popen[bytes], stop: threading.Event) -> int | None:
        """Exit status of the process; None if the server is to stop."""
        limit = time.monotonic() + self._settings.study_hours * 3600
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(0.2)
                if stop.is_set():
                    return None
                if time.monotonic() > limit:
                    raise StudyFailedError(f"took longer than {self._settings.study_hours:g} hours")
        finally:
            _end(process)

    def _failed(self, study: Study, reason: str, mark: str) -> None:
        now = time.time()
        pause = pause_after(study.attempts, self._settings.study_attempts, self._settings)
        self._queue.study_failed(study, reason, None if pause is None else now + pause, now)
        level, attempt = ("error" if pause is None else "warning"), study.attempts + 1
        self._journal.tell("study failed", level, study=mark, attempt=attempt, last=pause is None)

    def forget(self, study: str) -> None:
        """Remove the derived series of a study that is no longer in the queue."""
        shutil.rmtree(self._state / FOLDER / study, ignore_errors=True)


def _record(dest: Path) -> list[dict[str, Any]]:
    """Entries of the manifest of a study (docs/reference/manifest.md); none if it has none yet."""
    try:
        return list(json.loads((dest / MANIFEST).read_text(encoding="utf-8"))["series"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyFailedError(f"its manifest cannot be read ({error})") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process clean up, then make sure that it is gone."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
