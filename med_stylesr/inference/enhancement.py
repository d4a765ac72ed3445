"""One scan being enhanced: slabs of the result, then the facts about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.inference.ahead import ahead
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.ensemble import MirrorEnsemble
from med_stylesr.inference.request import EnhanceOptions
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import SliceSource
from med_stylesr.inference.strength import StrengthPlan
from med_stylesr.metrics.bias import BIAS_LIMIT_HU, tissue_shift
from med_stylesr.metrics.regions import spread_indices

SLAB: Final = 8
"""Slices read, run and handed on at once."""
FIRST_SLAB: Final = 2
"""Slices of the first of them, which is to be seen soon."""
SLABS_AHEAD: Final = 1
"""Slabs ready before they are asked for; a second one would take memory and no time off."""


class Enhancement:
    """One scan being enhanced: pull slabs from it, then ask it for the facts.

    Attributes:
        shape: slices, rows, columns of the result.
        reach: slices of the scan on either side that a slice of the result is made of.
        plan: strength and what it is based on.
        spread_hu: uncertainty of the whole result, HU float32, once `Enhancer.enhance` is done and if it was asked for.
    """

    def __init__(
        self,
        source: SliceSource,
        stage: SliceSource,
        plan: StrengthPlan,
        options: EnhanceOptions,
        spacing_mm: tuple[float, float, float],
        models: Sequence[tuple[LoadedBundle, Runtime]],
    ) -> None:
        self.shape, self.reach = stage.shape, stage.reach
        self.plan = plan
        self.spread_hu: NDArray[np.float32] | None = None
        self._source, self._stage, self._options = source, stage, options
        self._spacing_mm, self._models = spacing_mm, models
        self._checked: dict[int, NDArray[np.float32]] = {}
        self._shifts: tuple[int, dict[str, float]] = (0, {})
        self._to_check = set(spread_indices(source.shape[0], 12))

    def slabs(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first slice, HU float32 (n, rows, columns)) from the first to the last slice.

        The next slab is made meanwhile, unless `uncertainty` may be asked for that of the last one.
        """
        slabs = self._in_order()
        return slabs if isinstance(self._stage, MirrorEnsemble) else ahead(slabs, SLABS_AHEAD)

    def _in_order(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        factor, start, count = self._options.scale[0], 0, FIRST_SLAB
        while start < self.shape[0]:
            hu = self._stage.read(start, min(start + count * factor, self.shape[0]))
            self._remember(start, hu)
            yield start, hu
            start, count = start + len(hu), SLAB

    def uncertainty(self, start: int) -> NDArray[np.float32]:
        """Spread in HU, float32, of the slab handed out last, which began with slice `start`.

        Raises:
            ValueError: if the options did not ask for it, or another slab was the last.
        """
        if not isinstance(self._stage, MirrorEnsemble):
            raise ValueError("the options asked for no uncertainty")
        return self._stage.uncertainty(start)

    def _remember(self, start: int, hu: NDArray[np.float32]) -> None:
        """Keep some slices, averaged back to the grid of the input, for the check of HU."""
        sz, sy, sx = self._options.scale
        for k in range(start // sz, (start + hu.shape[0]) // sz):
            if k in self._to_check:
                block = hu[k * sz - start : (k + 1) * sz - start]
                rows, columns = block.shape[1] // sy, block.shape[2] // sx
                self._checked[k] = block.reshape(sz, rows, sy, columns, sx).mean(axis=(0, 2, 4), dtype=np.float64)

    def tissue_shift_hu(self) -> dict[str, float]:
        """Shift of the mean HU of each tissue class, result minus input, over the slices handed out so far."""
        if not self._checked:
            return {}
        if self._shifts[0] == len(self._checked):
            return self._shifts[1]
        before = np.concatenate([self._source.read(k, k + 1) for k in self._checked])
        after = np.stack(list(self._checked.values()))
        shifts = tissue_shift(before, after, self._spacing_mm)
        told = {name: round(shift.shift_hu, 3) + 0.0 for name, shift in shifts.items()}
        self._shifts = (len(self._checked), told)
        return told

    def facts(self) -> dict[str, Any]:
        """JSON-able record of what was done, complete once all slabs have been pulled."""
        return {
            "scale": list(self._options.scale),
            "style": self._options.style,
            **self.plan.facts(),
            "tissue_shift_hu": self.tissue_shift_hu(),
            **({"uncertainty": self._stage.facts()} if isinstance(self._stage, MirrorEnsemble) else {}),
            "bundles": [
                {
                    "name": bundle.name,
                    "version": bundle.version,
                    "weights_sha256": bundle.weights_sha256,
                    "runtime": runtime.facts(),
                }
                for bundle, runtime in self._models
            ],
        }

    def warnings(self) -> list[str]:
        """What a reader of the result must know, complete once all slabs have been pulled."""
        moved = {n: s for n, s in self.tissue_shift_hu().items() if abs(s) >= BIAS_LIMIT_HU}
        told = [f"mean HU of {name} moved by {shift:+.2f} HU" for name, shift in moved.items()]
        notes = dict.fromkeys(note for _, runtime in self._models for note in runtime.notes)
        return [*self.plan.warnings, *told, *notes]
