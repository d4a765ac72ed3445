"""Work done a little at a time between the events of the GUI."""

import qt

INTERVAL_MS = 40


class Pump:
    """A timer that runs while there is something to do.

    Args:
        work: called again and again; returns whether there is more to do.
    """

    def __init__(self, work):
        self._work = work
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)

    def start(self):
        """Begin, or go on."""
        self._timer.start()

    def stop(self):
        """Stop at once."""
        self._timer.stop()

    def _tick(self):
        more = False
        try:
            more = self._work()
        finally:
            # Also after an error, or the same one would come up 25 times a second.
            if not more:
                self._timer.stop()
