"""Brings derived series to one destination: again and again with growing pauses, then to the dead letters."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Final

from med_stylesr.errors import MedStyleError
from med_stylesr.service.pacs.destinations import Destination
from med_stylesr.service.pacs.journal import Journal
from med_stylesr.service.pacs.queue import Queue
from med_stylesr.service.pacs.queue_records import Delivery
from med_stylesr.service.pacs.sending import send
from med_stylesr.service.pacs.serve_settings import ServeSettings

_PROGRESS_EVERY: Final = 50
"""Confirmed images, at the least, between two notes in the queue: a killed server sends those after the last again."""


class Courier:
    """Delivers to one destination, in the order of their turn.

    Args:
        state: folder of the server.
        destination: where to.
        settings: of the server.
        queue: its queue.
        journal: the log.
    """

    def __init__(
        self, state: Path, destination: Destination, settings: ServeSettings, queue: Queue, journal: Journal
    ) -> None:
        self._state, self._destination, self._settings = state, destination, settings
        self._queue, self._journal = queue, journal

    def run(self, stop: threading.Event, tick_s: float) -> None:
        """Deliver until told to stop."""
        while not stop.is_set():
            if not self.deliver_one(stop):
                stop.wait(tick_s)

    def deliver_one(self, stop: threading.Event) -> bool:
        """Try the delivery whose turn it is; returns whether there was one."""
        delivery = self._queue.next_delivery(self._destination.name, *due_times(time.time(), self._settings))
        if delivery is None:
            return False
        self._try(delivery, stop)
        return True

    def _try(self, delivery: Delivery, stop: threading.Event) -> None:
        facts = {"series": self._journal.mark(delivery.folder), "destination": self._destination.name}
        sent = noted = delivery.sent
        try:
            files = sorted((self._state / delivery.folder).glob("*.dcm"))
            if not files:
                raise FileNotFoundError(delivery.folder)
            for confirmed in send(files[delivery.sent :], self._destination, self._settings):
                sent = delivery.sent + confirmed
                if sent - noted >= _PROGRESS_EVERY:
                    self._queue.progressed(delivery.id, sent)
                    noted = sent
                if stop.is_set() and sent < len(files):
                    self._queue.progressed(delivery.id, sent)
                    return
        except (MedStyleError, OSError) as error:
            why = str(error) if isinstance(error, MedStyleError) else f"its files cannot be read ({error})"
            self._failed(delivery, sent, why, facts)
        else:
            self._queue.delivered(delivery.id, time.time())
            self._journal.tell("series delivered", images=len(files), **facts)

    def _failed(self, delivery: Delivery, sent: int, why: str, facts: dict[str, str]) -> None:
        now = time.time()
        pause = pause_after(delivery.attempts, self._settings.attempts, self._settings)
        self._queue.progressed(delivery.id, sent)
        self._queue.delivery_failed(delivery.id, why, None if pause is None else now + pause, now)
        told = {**facts, "attempt": delivery.attempts + 1, "reason": why if self._destination.name in why else "files"}
        if pause is None:
            self._journal.tell("series not delivered", "error", **told)
        else:
            self._journal.tell("delivery failed", "warning", next_try_s=round(pause), **told)


def pause_after(attempts: int, limit: int, settings: ServeSettings) -> float | None:
    """Seconds until the next try of something that has failed once more, or None when that was the last.

    Doubling, with a random tenth on top so that all that failed together does not come back together.

    Args:
        attempts: failures before this one.
        limit: how many there may be.
        settings: `backoff_s` and `backoff_max_s` of it.
    """
    if attempts + 1 >= limit:
        return None
    pause = min(settings.backoff_s * 2.0 ** min(attempts, 60), settings.backoff_max_s)
    return pause * random.uniform(1.0, 1.1)


def due_times(now: float, settings: ServeSettings) -> tuple[float, float]:
    """What was to be tried up to the first time is due, and what was to be tried after the second.

    The second is further away than any pause: the clock was set back, which must not make anything wait for ever.
    """
    return now, now + 2 * settings.backoff_max_s


def is_due(next_try: float, now: float, settings: ServeSettings) -> bool:
    """Whether something may be tried now."""
    until, after = due_times(now, settings)
    return next_try <= until or next_try > after
