"""Which DICOM series are dynamic (cine, perfusion, cardiac phases), and in which order their frames were taken."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from med_stylesr.io.attributes import text
from med_stylesr.io.series import DicomSeries

TIME_KEYWORDS: Final = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
    "AcquisitionNumber",
)
"""Attributes that order frames in time (PS3.3 C.7.6.16.2.2.6, C.8.2.1, C.7.6.18, C.7.6.1), the surest first."""
_UNNAMED_PHASE: Final = "run "
"""Begins the part of a phase that only its numbering tells from the others, see `io.phases`."""


def dynamic_scans(series: Sequence[DicomSeries]) -> list[list[DicomSeries]]:
    """Phases of each series that was taken several times at the same places, in order of time.

    Args:
        series: as grouped: phases of one series are apart.
    """
    same: dict[tuple[object, ...], list[DicomSeries]] = defaultdict(list)
    for one in series:
        place = tuple(one.affine.round(3).ravel().tolist())
        same[(one.uid, one.grid.shape, one.kernel, place)].append(one)
    ordered = (in_order_of_time(phases) for phases in same.values() if len(phases) > 1)
    return [phases for phases in ordered if phases]


def left_out(series: Sequence[DicomSeries], scans: Sequence[Sequence[DicomSeries]]) -> list[tuple[DicomSeries, str]]:
    """Phases of dynamic series that could not join the others, and why: slices are missing or lie elsewhere.

    Other kernels and other series are no phases.

    Args:
        series: as grouped.
        scans: what `dynamic_scans` made of them.
    """
    joined = {id(phase) for phases in scans for phase in phases}
    found = []
    for one in series:
        others = [phases[0] for phases in scans if (phases[0].uid, phases[0].kernel) == (one.uid, one.kernel)]
        if others and id(one) not in joined:
            how = (
                f"{len(one)}, not {len(others[0])}"
                if len(one) != len(others[0])
                else "at other places, or of another size"
            )
            found.append((one, f"has other slices than the other phases ({how})"))
    return found


def in_order_of_time(phases: Sequence[DicomSeries]) -> list[DicomSeries]:
    """Phases in order of the first attribute whose values say which of any two was earlier; empty without one.

    Slices of a phase may differ in it, as in a shuttle scan, but no phase may reach into another.
    """
    named = not all(one.part.startswith(_UNNAMED_PHASE) for one in phases)
    for keyword in TIME_KEYWORDS if named else ("InstanceNumber",):
        spans = [_span(one, keyword) for one in phases]
        if None in spans:
            continue
        order = sorted(range(len(phases)), key=lambda k: spans[k] or ())
        if all((spans[a] or (0, 0))[1] < (spans[b] or (0, 0))[0] for a, b in itertools.pairwise(order)):
            return [phases[k] for k in order]
    return []


def _span(one: DicomSeries, keyword: str) -> tuple[float, float] | None:
    """Least and greatest value over the slices; times and dates compare as the numbers that they are written as."""
    try:
        values = [float(text(header, keyword).split("+")[0]) for header in one.headers]
    except ValueError:
        return None
    return min(values), max(values)
