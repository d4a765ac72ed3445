"""Several slices at one place: copies are dropped, phases are told apart by what their headers say."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from med_stylesr.io.attributes import integer, numbers, text, word
from med_stylesr.io.pixels import stored_values
from med_stylesr.io.series import SliceFile
from med_stylesr.io.stack import is_even, same_place

PHASE_KEYWORDS: Final = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "NominalCardiacTriggerDelayTime",
    "TriggerTime",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
    "ImageType",
    "ContrastBolusAgent",
    "SeriesNumber",
    "StackID",
)
"""Attributes that may tell two phases, time points or reconstructions within one SeriesInstanceUID apart."""
LEAST_SHARE: Final = 0.3
"""A phase must cover at least this share of all places: less is a handful of stray slices, no phase."""


@dataclass(frozen=True)
class Slice:
    """One candidate slice: header, where its pixels are, position of its first voxel in LPS mm."""

    header: Dataset
    file: SliceFile
    origin_mm: NDArray[np.float64]

    @property
    def orientation(self) -> tuple[float, ...]:
        """ImageOrientationPatient as numbers."""
        return numbers(self.header, "ImageOrientationPatient", 6) or ()


@dataclass(frozen=True)
class Phase:
    """Slices that make one stack, what tells them from the others, and warnings."""

    slices: tuple[Slice, ...]
    label: str = ""
    warnings: tuple[str, ...] = ()


def separate(slices: Sequence[Slice]) -> tuple[Phase, ...] | None:
    """Stacks with one slice a place, or None when several different slices share a place and nothing tells them apart.

    Copies (same pixels and rescale at the same place) are dropped with a warning. Interleaved stacks without a shared
    place are separated too, when each is even by itself and the whole is not.
    """
    slices, dropped = _without_copies(slices, same_instance=True)
    if _one_a_place(slices):
        phases = _by_keyword(slices, _interleaved) or (Phase(tuple(slices)),)
    else:
        phases = _by_keyword(slices, _clean) or ()
        if not phases:
            slices, more = _without_copies(slices, same_instance=False)
            dropped += more
            phases = (Phase(tuple(slices)),) if _one_a_place(slices) else _by_keyword(slices, _clean) or _by_run(slices)
    if not phases:
        return None
    note = (f"{dropped} duplicate slice(s) with the same pixels were dropped",) if dropped else ()
    return tuple(Phase(p.slices, p.label, p.warnings + note) for p in phases)


def _places(slices: Sequence[Slice]) -> list[list[int]]:
    return same_place(np.array([s.origin_mm for s in slices]), slices[0].orientation)


def _one_a_place(slices: Sequence[Slice]) -> bool:
    return len(_places(slices)) == len(slices)


def _without_copies(slices: Sequence[Slice], same_instance: bool) -> tuple[list[Slice], int]:
    kept: list[Slice] = []
    for place in _places(slices):
        seen: dict[tuple[str, bytes], None] = {}
        counts: dict[str, int] = defaultdict(int)
        for index in place:
            counts[word(slices[index].header, "SOPInstanceUID")] += 1
        for index in place:
            uid = word(slices[index].header, "SOPInstanceUID") if same_instance else ""
            if len(place) > 1 and (not same_instance or counts[uid] > 1):
                key = (uid, _fingerprint(slices[index]))
                if key in seen:
                    continue
                seen[key] = None
            kept.append(slices[index])
    return kept, len(slices) - len(kept)


def _fingerprint(one: Slice) -> bytes:
    digest = hashlib.blake2b(stored_values(one.file, one.header).tobytes())
    digest.update("/".join(word(one.header, k) for k in ("RescaleSlope", "RescaleIntercept")).encode())
    return digest.digest()


def _by_keyword(slices: Sequence[Slice], accepted: Callable[[list[list[Slice]]], bool]) -> tuple[Phase, ...]:
    for keyword in PHASE_KEYWORDS:
        groups: dict[str, list[Slice]] = defaultdict(list)
        for one in slices:
            groups[text(one.header, keyword)].append(one)
        if len(groups) > 1 and accepted(list(groups.values())):
            return tuple(Phase(tuple(group), f"{keyword} {value or 'absent'}") for value, group in groups.items())
    return ()


def _clean(groups: list[list[Slice]]) -> bool:
    places = len(_places([one for group in groups for one in group]))
    return all(_one_a_place(group) and len(group) >= LEAST_SHARE * places for group in groups)


def _interleaved(groups: list[list[Slice]]) -> bool:
    """Whether the slices are uneven as a whole, but each group is even and reaches over the same range."""
    everything = [one for group in groups for one in group]
    if min(len(group) for group in groups) < 3 or is_even(_sorted_origins(everything)):
        return False
    origins = [_sorted_origins(group) for group in groups]
    if not all(is_even(o) for o in origins):
        return False
    direction = origins[0][-1] - origins[0][0]
    ranges = [np.sort(o[[0, -1]] @ direction) for o in origins]
    shared = min(r[1] for r in ranges) - max(r[0] for r in ranges)
    return bool(shared > 0.5 * min(r[1] - r[0] for r in ranges))


def _sorted_origins(slices: Sequence[Slice]) -> NDArray[np.float64]:
    origins = np.array([s.origin_mm for s in slices])
    return origins[[i for place in same_place(origins, slices[0].orientation) for i in place]]


def _by_run(slices: Sequence[Slice]) -> tuple[Phase, ...]:
    """Phases numbered one after the other: InstanceNumber runs through all places once for each of them."""
    counted = [(integer(one.header, "InstanceNumber"), one) for one in slices]
    numbered = sorted(((n, one) for n, one in counted if n is not None), key=lambda pair: pair[0])
    places = len(_places(slices))
    if len(numbered) != len(slices) or len(slices) % places or len({n for n, _ in numbered}) != len(slices):
        return ()
    runs = [[one for _, one in numbered[k : k + places]] for k in range(0, len(slices), places)]
    if not all(_one_a_place(run) for run in runs):
        return ()
    note = ("phases were told apart by the runs of InstanceNumber only",)
    return tuple(Phase(tuple(run), f"run {k + 1}", note) for k, run in enumerate(runs))
