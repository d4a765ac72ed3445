"""Whether a series is the work of this program: what is made of it is not what it would be of a scanner's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from med_stylesr.io.attributes import text
from med_stylesr.io.series import DicomSeries

_TOOL: Final = "med-stylesr"


def own_work_warnings(series: DicomSeries) -> list[str]:
    """A warning that says what this program has made of the series before; none for a scanner's own."""
    header = series.headers[0]
    given = header.get("ContributingEquipmentSequence") or ()
    made: Sequence[str] = [
        text(item, "ContributionDescription") or "of what it has not said"
        for item in given
        if text(item, "Manufacturer") == _TOOL
    ]
    if not made:
        return []
    return [f"is a result of med-stylesr already ({'; '.join(made)}): its noise is not that of a scanner"]


__all__ = ["own_work_warnings"]
