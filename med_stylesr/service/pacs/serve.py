"""A server: takes images, enhances complete studies, delivers what was made of them, until it is told to stop."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from med_stylesr.errors import UsageError
from med_stylesr.service.lock import sole_use
from med_stylesr.service.pacs.delivery import Courier
from med_stylesr.service.pacs.health import HealthServer, Vitals
from med_stylesr.service.pacs.incoming import Incoming
from med_stylesr.service.pacs.journal import Journal, load_secret
from med_stylesr.service.pacs.queue import RECEIVING, Queue
from med_stylesr.service.pacs.scp import StoreScp
from med_stylesr.service.pacs.serve_settings import ServeSettings
from med_stylesr.service.pacs.studies import ENHANCE, Enhancing

_TICK_S: Final = 0.25
_PATIENCE_S: Final = 5.0
"""For an earlier server that is just ending."""
_ENDING_S: Final = 60.0
_HOUSEKEEPING_S: Final = 60.0


@contextmanager
def _nothing_said_but_by(journal: Journal) -> Iterator[None]:
    """Keep warnings, log lines and tracebacks of libraries off standard error: they quote headers."""
    for name in ("pynetdicom", "pydicom", "dicomweb_client", "urllib3"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    before = threading.excepthook
    threading.excepthook = lambda failure: journal.tell("thread failed", "error", error=failure.exc_type.__name__)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        threading.excepthook = before


class Server:
    """Everything a server consists of; leaving its block stops it.

    Args:
        state: its folder, made if needed; readable for its owner alone, since it holds images.
        settings: what it is to do.
        journal: the log, or None for JSON lines on standard error.
        program: what enhances, see `studies.ENHANCE`.

    Attributes:
        queue: what it must not forget.
        dicom_port: where it listens.
        http_port: where it tells of itself, or None.

    Raises:
        UsageError: if another server works in the folder, or a port or certificate cannot be used.
    """

    def __init__(
        self,
        state: Path,
        settings: ServeSettings,
        journal: Journal | None = None,
        program: Sequence[str] = ENHANCE,
    ) -> None:
        self._settings, self._stop, self._parts = settings, threading.Event(), ExitStack()
        with ExitStack() as building:
            try:
                building.enter_context(sole_use(state, _PATIENCE_S))
            except UsageError as error:
                why = "another server works in it"
                raise UsageError(str(state), why, "stop that one, or give this one its own folder") from error
            state.chmod(0o700)
            self._state = state
            self._journal = journal or Journal(load_secret(state / "log.key"), sys.stderr)
            building.enter_context(_nothing_said_but_by(self._journal))
            self.queue = Queue(state)
            building.callback(self.queue.close)
            self._incoming = Incoming(state, self.queue, settings.min_free_bytes)
            for lost in self._incoming.recover():
                self._journal.tell("image is missing", "error", image=self._journal.mark(lost))
            self._scp = StoreScp(settings, self._incoming, self._journal)
            self._enhancing = Enhancing(
                state, settings, self.queue, self._incoming, self._scp.is_sending, self._journal, program
            )
            self._threads: list[threading.Thread] = []
            building.callback(self._end_threads)
            self._start("enhancing", self._enhancing.run)
            for place in settings.destinations:
                courier = Courier(state, place, settings, self.queue, self._journal)
                self._start(f"delivery to {place.name}", courier.run)
            self._start("housekeeping", self._keep_house)
            self.dicom_port = self._scp.start()
            building.callback(self._scp.stop)
            self.http_port = None
            if settings.http_port is not None:
                health = HealthServer(settings.http_port, self.vitals)
                building.callback(health.stop)
                self.http_port = health.port
            self._parts = building.pop_all()
        self._journal.tell("started", dicom_port=self.dicom_port, http_port=self.http_port, aet=settings.aet)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._parts:
            self._journal.tell("stopping")

    def run(self) -> None:
        """Wait until `stop` is called, or a part of the server has broken down.

        Raises:
            RuntimeError: if one has; a supervisor starts the server again, and it goes on where it was.
        """
        while not self._stop.wait(_TICK_S):
            if self._broken():
                raise RuntimeError(f"{self._broken()[0]} has broken down")

    def stop(self) -> None:
        """Make `run` return; may be called from a signal handler."""
        self._stop.set()

    def vitals(self) -> Vitals:
        """The state of the server in numbers."""
        now, busy = time.time(), self._enhancing.busy_since
        waiting = self.queue.studies(RECEIVING)
        free = shutil.disk_usage(self._state).free
        problems = list(self._broken())
        if free < self._settings.min_free_bytes:
            problems.append("disk full")
        return Vitals(
            problems=tuple(problems),
            images=dict(self._scp.verdicts),
            bytes_stored=self._scp.bytes_stored,
            associations_refused=self._scp.rejected,
            studies=self.queue.counts("study"),
            deliveries=self.queue.counts("delivery"),
            oldest_study_s=max(0.0, now - waiting[0].changed) if waiting else 0.0,
            enhancing_s=now - busy if busy is not None else 0.0,
            free_bytes=free,
        )

    def _start(self, name: str, work: Callable[[threading.Event, float], None]) -> None:
        def guarded() -> None:
            try:
                while not self._stop.is_set():
                    try:
                        work(self._stop, _TICK_S)
                    except sqlite3.OperationalError:
                        # A full disk, most likely: what was not recorded is done again.
                        self._journal.tell("queue cannot be written", "error", part=name)
                        self._stop.wait(self._settings.backoff_s)
            except Exception as error:
                # The text of an unexpected error may quote anything; its kind and place do not.
                place = error.__traceback__
                while place is not None and place.tb_next is not None:
                    place = place.tb_next
                where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
                self._journal.tell("broken down", "error", part=name, error=type(error).__name__, where=where)

        self._threads.append(threading.Thread(target=guarded, name=name, daemon=True))
        self._threads[-1].start()

    def _broken(self) -> list[str]:
        return [] if self._stop.is_set() else [t.name for t in self._threads if not t.is_alive()]

    def _end_threads(self) -> None:
        self._stop.set()
        until = time.monotonic() + _ENDING_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _keep_house(self, stop: threading.Event, tick_s: float) -> None:
        """Remove what has been delivered long enough ago."""
        while not stop.is_set():
            for study in self.queue.removable(time.time() - self._settings.keep_hours * 3600):
                # Under one lock, so that no image of the study is taken between row and file.
                with self.queue.lock:
                    if self.queue.remove(study):
                        self._incoming.forget(study.key)
                        self._enhancing.forget(study.key)
                        self._journal.tell("study removed", study=self._journal.mark(study.uid))
            stop.wait(_HOUSEKEEPING_S)
