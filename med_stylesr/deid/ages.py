"""Ages that are numbers of content items: above the highest one that may be told, only that it is above.

What is an age is told by its unit, whatever the concept is called: no other length of time in a report is as long.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.deid.context import Context
from med_stylesr.deid.elements import Leaf, code_of, padded

NUMERIC_VALUE: Final = 0x0040A30A
FLOATING_POINT_VALUE: Final = 0x0040A161
RATIONAL_VALUES: Final = frozenset({0x0040A162, 0x0040A163})
_MEASUREMENT_UNITS: Final = 0x004008EA
_CONCEPTS: Final = frozenset(
    {("DCM", "121033"), ("LN", "30525-0"), ("LN", "63900-5"), ("LN", "21612-7")}
    | {("SCT", "397669002"), ("SCT", "424144002")}
)
"""A person's age, for numbers without a unit."""
_YEARS: Final = {
    # Units of PS3.16 CID 7456 "Age Unit", and the same in SNOMED CT.
    **dict.fromkeys((("UCUM", "a"), ("SCT", "258707000")), 1.0),
    **dict.fromkeys((("UCUM", "mo"), ("SCT", "258706009")), 1 / 12),
    **dict.fromkeys((("UCUM", "wk"), ("SCT", "258705008")), 7 / 365.25),
    **dict.fromkeys((("UCUM", "d"), ("SCT", "258703001")), 1 / 365.25),
    **dict.fromkeys((("UCUM", "h"), ("SCT", "258702006")), 1 / 8766),
    **dict.fromkeys((("UCUM", "min"), ("SCT", "258701004")), 1 / 525960),
}


def years_per_unit(item: Dataset, concept: tuple[str, str] | None, context: Context) -> float | None:
    """What the number in an item counts, in years; None when it is no age.

    Args:
        item: a content item or its measured value.
        concept: of the item's name, if it has one.
        context: of the sequence that the item is in.
    """
    unit = code_of(item, _MEASUREMENT_UNITS)
    if unit in _YEARS:
        return _YEARS[unit]
    if concept is None:
        return context.years_per_unit
    return 1.0 if concept in _CONCEPTS else None


def told_value(leaf: Leaf, years: float, little_endian: bool, max_age_years: int) -> bytes:
    """The cleaned value of an age as it may be told: at most the lowest whole number that is above the highest age.

    Args:
        leaf: with a value that was cleaned.
        years: see `years_per_unit`.
        little_endian: byte order of binary values.
        max_age_years: the highest age that may be told.
    """
    above = math.ceil((max_age_years + 1) / years)
    if leaf.tag == NUMERIC_VALUE:
        shown = (n if not n or float(n) < above else str(above) for n in leaf.strings())
        return padded("\\".join(shown).encode("ascii"), leaf.vr)
    if leaf.tag == FLOATING_POINT_VALUE:
        form = f"{'<' if little_endian else '>'}{len(leaf.value) // 8}d"
        return struct.pack(form, *(n if n < above else above for n in struct.unpack(form, leaf.value)))
    return leaf.value
