"""What the cleaning of an element depends on beside the element itself, and how what was done is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from med_stylesr.deid.elements import Encodings
from med_stylesr.deid.table import Iod

Counts = Counter[tuple[int, str, str]]
"""What was done how often: (tag, action, reason)."""


@dataclass(frozen=True)
class Context:
    """What the cleaning of an element depends on beside its own bytes.

    Attributes:
        iod: the object's definition.
        implicit_vr: encoding of source and output.
        little_endian: byte order of source and output.
        encodings: codecs of the text.
        patient: original patient identifier, the root of the pseudonym.
        days: date offset of the patient.
        dummies: everything below gets dummy values.
        derived: the object was made by this program, whose own texts stay.
        concept_action: action of table E.3.4-1 for the content item's value, or None outside content items.
        years_per_unit: what the content item's number counts, in years; None when it is no age.
        top: whether this is the outermost level.
    """

    iod: Iod
    implicit_vr: bool
    little_endian: bool
    encodings: Encodings
    patient: str
    days: int
    dummies: bool = False
    derived: bool = False
    concept_action: str | None = None
    years_per_unit: float | None = None
    top: bool = True
