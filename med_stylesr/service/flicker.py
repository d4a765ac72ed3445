"""Flicker of an enhanced scan with a time axis: what changes from frame to frame, before and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BODY_HU: Final = (-200.0, 300.0)
"""Flicker is measured here: soft tissue of both frames, where neither air nor bone edges move."""
_PER_FRAME: Final = 1.4826 / np.sqrt(2.0)
"""Standard deviation of one frame per median absolute difference of two, for normal noise."""

Hu = NDArray[Any]


@dataclass
class Flicker:
    """What changes from frame to frame, before and after.

    The medians of differences tell noise; the mean of a frame's correction tells brightness, which is what an eye sees
    pulse. Real change (contrast agent, breath) is in both, before and after.
    """

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    _frames: int = 0
    _last: tuple[Hu, Hu] | None = None

    def add(self, before: Hu, after: Hu) -> None:
        """One more frame: HU on one grid."""
        self._frames += 1
        body = (before > BODY_HU[0]) & (before < BODY_HU[1])
        if self._last is not None:
            old_before, old_after = self._last
            both = body & (old_before > BODY_HU[0]) & (old_before < BODY_HU[1])
            if both.any():
                self.before.append(float(np.median(np.abs(before[both] - old_before[both])) * _PER_FRAME))
                self.after.append(float(np.median(np.abs(after[both] - old_after[both])) * _PER_FRAME))
        if body.any():
            self.brightness.append(float((after[body] - before[body]).mean(dtype=np.float64)))
        self._last = before, after

    def gap(self) -> None:
        """The frame that comes here is missing: the next one is not compared with the one before it."""
        self._last = None

    def facts(self) -> dict[str, float | None]:
        """JSON-able record: HU of noise from frame to frame, and spread of the frames' mean change."""
        return {
            "frame_to_frame_before_hu": _mean(self.before),
            "frame_to_frame_after_hu": _mean(self.after),
            "brightness_added_hu": round(float(np.std(self.brightness)), 4) if self.brightness else None,
        }

    def told(self) -> str:
        """The same for the screen."""
        if self._frames < 2:
            return f"from frame to frame: {'one frame' if self._frames else 'no frame'} only, so no flicker to tell"
        facts = self.facts()
        if not self.before:
            return "from frame to frame: no soft tissue in two frames that follow each other, so no flicker to tell"
        before, after = facts["frame_to_frame_before_hu"], facts["frame_to_frame_after_hu"]
        return f"from frame to frame: {before} HU before, {after} HU after"


def averaged(hu: Hu, scale: tuple[int, int, int]) -> Hu:
    """A result on the grid of its input.

    Args:
        hu: (slices, rows, columns) of the result.
        scale: factors (slice, row, column).
    """
    (sz, sy, sx), (slices, rows, columns) = scale, hu.shape
    blocks = hu.reshape(slices // sz, sz, rows // sy, sy, columns // sx, sx)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None
