"""Any strength from one run: base + share · (result − base), some slices at a time.

The engine's result is its base plus the strength times a correction that does not depend on the strength, so blending
gives what another run would have given; but for factors between and within slices at once (`EnhanceRequest.blends`).
"""

import numpy as np


class Blend:
    """The two ends of a blend.

    Args:
        base: HU at strength 0, (slices, rows, columns).
        full: HU of the engine's result on the same grid.
        at: strength that `full` was computed at, above 0.
        dtype: of what is written: int16 or float32.
    """

    def __init__(self, base, full, at, dtype):
        if base.shape != full.shape:
            raise ValueError(f"base and result have different shapes: {base.shape} and {full.shape}")
        self.base, self.full, self.at, self.dtype = base, full, at, np.dtype(dtype)

    @property
    def shape(self):
        """Slices, rows, columns."""
        return self.base.shape

    def share(self, strength):
        """Share of the result's correction that a strength stands for."""
        return strength / self.at

    def slab(self, strength, start, stop):
        """HU of slices start … stop−1 at a strength, in `dtype`; strength 0 is the base bit for bit."""
        base, share = self.base[start:stop], self.share(strength)
        if share == 0:
            return self._as_written(base)
        if share == 1:
            return self._as_written(self.full[start:stop])
        mixed = self.full[start:stop].astype(np.float32)
        mixed -= base
        mixed *= np.float32(share)
        mixed += base
        return self._as_written(mixed)

    def difference(self, strength, start, stop):
        """What was changed in slices start … stop−1 at a strength: result − input, HU in `dtype`."""
        changed = self.full[start:stop].astype(np.float32)
        changed -= self.base[start:stop]
        changed *= np.float32(self.share(strength))
        return self._as_written(changed)

    def _as_written(self, hu):
        if hu.dtype == self.dtype:
            return hu
        if self.dtype.kind == "f":
            return hu.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        return np.clip(np.rint(hu), limits.min, limits.max).astype(self.dtype)


def from_middle(total, first, size):
    """Ranges of slices that cover a stack, those around the one that is looked at first.

    Args:
        total: slices.
        first: slice that is looked at.
        size: slices of a range.

    Returns:
        List of (start, stop).
    """
    ranges = [(start, min(start + size, total)) for start in range(0, total, size)]
    return sorted(ranges, key=lambda span: max(span[0] - first, first - (span[1] - 1), 0))
