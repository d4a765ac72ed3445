"""One line per epoch with the time left, for whoever waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from ignite.engine import Engine, Events


class EpochProgress:
    """Tells epoch, loss and expected time left after every epoch.

    Args:
        tell: takes the line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self._start, self._first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self._start, self._first = time.monotonic(), -1

    def __call__(self, engine: Engine) -> None:
        """Tell the line."""
        epoch, last = engine.state.epoch, engine.state.max_epochs
        if self._first < 0:
            # A resumed run starts later than epoch 1.
            self._first = epoch - 1
        left = (time.monotonic() - self._start) / (epoch - self._first) * (last - epoch)
        loss = engine.state.metrics.get("loss", float("nan"))
        self.tell(f"epoch {epoch}/{last}  loss {loss:.4g}  about {_duration(left)} left")


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
