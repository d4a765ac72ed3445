"""How sure the result is: the scan enhanced in four mirror images, their spread, and the way back where it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.inference.slices import Hu, SliceSource
from med_stylesr.metrics.uncertainty import blend_back, ensemble, local_spread, trust

MIRRORS: Final[tuple[tuple[int, ...], ...]] = ((), (-1,), (-2,), (-2, -1))
"""Axes that are reversed for each view, rows -2 and columns -1; the first view is the scan as it is."""
TRUST_BELOW: Final = 0.2
"""Uncertainty, over the noise of the scan, up to which `--safe` takes the result whole."""
TRUST_NONE_ABOVE: Final = 0.4
"""Uncertainty, over the noise of the scan, from which `--safe` gives the input back."""
UNKNOWN_NOISE_HU: Final = 15.0
"""Noise that stands in for one that cannot be measured: that of a thin chest slice at normal dose."""
SHOWN_ABOVE_HU: Final = -950.0
"""Voxels denser than this count in the summary: air around the patient would make every scan look certain."""
_STEP_HU: Final = 0.1
_STEPS: Final = 1000


@dataclass(frozen=True)
class TrustLimits:
    """Between which uncertainties, in HU, a result gives way to its input.

    Attributes:
        full_below_hu: up to here the result is taken whole.
        none_above_hu: from here on the input is given back.
    """

    full_below_hu: float
    none_above_hu: float

    @classmethod
    def for_noise(cls, noise_hu: float | None) -> TrustLimits:
        """Limits for a scan with this much noise; None if it could not be measured."""
        noise = noise_hu or UNKNOWN_NOISE_HU
        return cls(TRUST_BELOW * noise, TRUST_NONE_ABOVE * noise)


class Mirrored:
    """A scan with rows or columns in reverse order.

    Args:
        source: the scan.
        axes: which of -2 (rows) and -1 (columns).
    """

    def __init__(self, source: SliceSource, axes: tuple[int, ...]) -> None:
        self.shape, self.reach, self.per_slice = source.shape, source.reach, source.per_slice
        self._source, self._axes = source, axes

    def read(self, start: int, stop: int) -> Hu:
        """HU of slices start … stop-1, float32."""
        return np.ascontiguousarray(np.flip(self._source.read(start, stop), self._axes))


class MirrorEnsemble:
    """The result of a stage, and how much its four mirror images disagree on it.

    A network that is told nothing of left and right has to do the same to a scan and to its mirror image. Where it does
    not, the input did not decide what it did. The result is that of the scan as it is, not the mean.

    Args:
        source: the scan.
        build: makes the stage that enhances a scan.
        spacing_mm: of the result (slice, row, column).
        base: what strength 0 would give, on the grid of the result, to return to where the spread is large; None to
            leave the result as it is.
        limits: between which spreads; with `base`.
    """

    def __init__(
        self,
        source: SliceSource,
        build: Callable[[SliceSource], SliceSource],
        spacing_mm: tuple[float, float, float],
        base: SliceSource | None,
        limits: TrustLimits,
    ) -> None:
        self._views = [Mirrored(build(Mirrored(source, axes)), axes) if axes else build(source) for axes in MIRRORS]
        first = self._views[0]
        self.shape, self.reach, self.per_slice = first.shape, first.reach, first.per_slice
        self._spacing_mm, self._base, self._limits = spacing_mm, base, limits
        self._latest: tuple[int, NDArray[np.float32]] = (0, np.zeros((0, 0, 0), np.float32))
        self._counts = np.zeros(_STEPS, dtype=np.int64)
        self._returned, self._shown = 0.0, 0

    def read(self, start: int, stop: int) -> Hu:
        """HU of slices start … stop-1, float32."""
        hu = self._views[0].read(start, stop)

        def each() -> Iterator[Hu]:
            yield hu
            for view in self._views[1:]:
                yield view.read(start, stop)

        spread = local_spread(ensemble(each())[1], self._spacing_mm)
        self._latest = (start, spread)
        shown = hu > SHOWN_ABOVE_HU
        steps = np.minimum(spread[shown] / _STEP_HU, _STEPS - 1).astype(np.int64)
        self._counts += np.bincount(steps, minlength=_STEPS)
        self._shown += steps.size
        if self._base is None:
            return hu
        limits = self._limits
        weight = trust(spread, self._spacing_mm, full_below_hu=limits.full_below_hu, none_above_hu=limits.none_above_hu)
        self._returned += float((1 - weight[shown]).sum())
        return blend_back(self._base.read(start, stop), hu, weight)

    def uncertainty(self, start: int) -> NDArray[np.float32]:
        """Standard deviation in HU of the slices that were read last, which began with `start`.

        Raises:
            ValueError: if others were.
        """
        if self._latest[0] != start:
            raise ValueError(f"slices from {self._latest[0]} on were read last, not from {start}")
        return self._latest[1]

    def facts(self) -> dict[str, Any]:
        """JSON-able summary over what was read: spread of the voxels of the patient, and how much was given back."""
        passed = np.cumsum(self._counts)
        facts: dict[str, Any] = {"views": len(MIRRORS)}
        for name, share in (("median_hu", 0.5), ("p99_hu", 0.99)):
            where = int(np.searchsorted(passed, share * self._shown))
            facts[name] = round((where + 0.5) * _STEP_HU, 2) if self._shown else None
        if self._base is not None:
            limits = self._limits
            facts["safe"] = {
                "full_below_hu": round(limits.full_below_hu, 2),
                "none_above_hu": round(limits.none_above_hu, 2),
                "given_back": round(self._returned / self._shown, 5) if self._shown else None,
            }
        return facts
