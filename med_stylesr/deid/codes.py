"""Coded entries (PS3.3 table 8.8-1): known codes get their standard meaning back, private ones are replaced.

A code meaning is free text and a private code may be anything; only codes of public schemes, well formed and, for
SNOMED CT, with a right check digit, are copied.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from med_stylesr.deid.elements import Element, padded
from med_stylesr.deid.table import OPTIONS

_FORMS: Final[dict[str, str]] = {
    "DCM": r"1[12]\d{4}|13\d{4}|\d{6}",
    "SRT": r"[A-Z]-[0-9A-F]{4,5}|R[A-Z0-9]-[0-9A-F]{4,5}",
    "SNM3": r"[A-Z]-[0-9A-F]{4,5}",
    "99SDM": r"[A-Z]-[0-9A-F]{4,5}",
    "UCUM": r"[A-Za-z%0-9.*/\[\]'^-]{1,12}",
    "LN": r"\d{1,5}-\d",
    "FMA": r"\d{4,6}",
    "RADLEX": r"RID\d{1,5}",
    "UMLS": r"C\d{7}",
    "NCIt": r"C\d{4,6}",
}
UNKNOWN_CODE: Final = ("261665006", "SCT", "Unknown")
OTHER_MEANING: Final = "Coded entry"


def clean_code(value: str, scheme: str, meaning: str) -> tuple[str, str, str] | None:
    """A coded entry that can be told, or None when its code is private or not well formed.

    Args:
        value: code value as written.
        scheme: coding scheme designator as written.
        meaning: code meaning as written.

    Returns:
        Code value, designator and a meaning that comes from a dictionary, not from the file.
    """
    known = known_meanings(scheme).get(value)
    if known is not None:
        return value, scheme, meaning if meaning.casefold() == known.casefold() else known[:64]
    if scheme == "SCT" and re.fullmatch(r"\d{6,18}", value) and verhoeff_holds(value):
        return value, scheme, OTHER_MEANING
    form = _FORMS.get(scheme)
    if form and re.fullmatch(form, value):
        return value, scheme, OTHER_MEANING
    return None


def code_item(code: tuple[str, str, str]) -> list[Element]:
    """Elements of a code sequence item with (value, designator, meaning)."""
    return [
        Element(tag, vr, padded(text.encode("ascii", "replace"), vr))
        for tag, vr, text in zip((0x00080100, 0x00080102, 0x00080104), ("SH", "SH", "LO"), code, strict=True)
    ]


@lru_cache(maxsize=32)
def known_meanings(scheme: str) -> dict[str, str]:
    """Code values and meanings of a scheme that PS3.16 uses, and of CID 7050."""
    from pydicom.sr._concepts_dict import concepts

    found = {}
    by_keyword: dict[str, Any] = dict(concepts.get(scheme, {}))
    for codes in by_keyword.values():
        for value, entry in codes.items():
            found[str(value)] = str(entry[0])
    if scheme == "DCM":
        found.update(dict(OPTIONS.values()))
    return found


_TIMES: Final = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTED: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def verhoeff_holds(number: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier is its check digit (Verhoeff 1969, dihedral group D5).

    >>> verhoeff_holds("261665006"), verhoeff_holds("261665007")
    (True, False)
    """
    check = 0
    for place, digit in enumerate(reversed(number)):
        permuted = int(digit)
        for _ in range(place % 8):
            permuted = _PERMUTED[permuted]
        check = _TIMES[check][permuted]
    return check == 0
