"""Values of DICOM attributes, read without trusting them: text, numbers, integers, or nothing where they are none."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import AMBIGUOUS_VR, VR

from med_stylesr.errors import one_line

_SHOWN: Final = 60
"""Longest value that a message quotes."""
_MAX_REMEMBERED: Final = 4096
_UNAMBIGUOUS: Final = frozenset(VR) - AMBIGUOUS_VR - {VR.UN, VR.SQ}
"""Value representations whose values nothing but their own bytes and the character set decides on."""


def words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Values of a string attribute (UI, CS, DS, IS, SH, DA, TM …), stripped; empty when absent, unreadable, a sequence.

    Reads the bytes as they stand, because pydicom's conversion raises or warns on malformed DS and IS values.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return ()
    element = dataset.get_item(tag)
    if element is None or element.VR == "SQ":
        return ()
    if isinstance(element, RawDataElement):
        text = (element.value or b"").decode("latin-1")
        values = text.split("\\")
    else:
        value: Any = element.value
        values = (
            []
            if value is None
            else [str(v) for v in ([value] if isinstance(value, str) or not hasattr(value, "__iter__") else value)]
        )
    stripped = tuple(v.strip(" \0\t\r\n") for v in values)
    return stripped if any(stripped) else ()


def shown(dataset: Dataset, keyword: str) -> str:
    """Values of a string attribute for a message: joined as in the file, cut where they are long, or "missing"."""
    return one_line("\\".join(words(dataset, keyword)), _SHOWN, plain=True) or "missing"


def word(dataset: Dataset, keyword: str) -> str:
    """First value of a string attribute, or an empty string."""
    values = words(dataset, keyword)
    return values[0] if values else ""


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite values of a DS or IS attribute, or None."""
    values = words(dataset, keyword)
    if len(values) != count:
        return None
    try:
        parsed = tuple(float(v) for v in values)
    except ValueError:
        return None
    return parsed if all(math.isfinite(v) for v in parsed) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """One finite value of a DS or IS attribute, or None."""
    values = numbers(dataset, keyword, 1)
    return values[0] if values else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """One value of a US, SS, UL or IS attribute, or None."""
    value = _converted(dataset, keyword)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def text(dataset: Dataset, keyword: str) -> str:
    """One value of a text attribute (LO, PN, LT …) in the file's character set, or an empty string."""
    value = _converted(dataset, keyword)
    # A sequence in its place cannot always be put in words.
    return "" if value is None or isinstance(value, Sequence) else str(value).strip(" \0")


def _converted(dataset: Dataset, keyword: str) -> Any:
    """The value as pydicom converts it, or None; the dataset keeps its bytes, which slices of a series share."""
    tag = tag_for_keyword(keyword)
    element = dataset.get_item(tag) if tag is not None and tag in dataset else None
    if not isinstance(element, RawDataElement):
        return None if element is None else element.value
    if (element.VR or dictionary_VR(element.tag)) not in _UNAMBIGUOUS:
        return _quietly(lambda: dataset.get(keyword))
    charset = dataset.original_character_set
    return _value(element, charset if isinstance(charset, str) else tuple(charset))


@lru_cache(maxsize=_MAX_REMEMBERED)
def _value(element: RawDataElement, charset: str | tuple[str, ...]) -> Any:
    encoding = charset if isinstance(charset, str) else list(charset)
    return _quietly(lambda: convert_raw_data_element(element, encoding=encoding or None).value)


def _quietly(work: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except Exception:
        # A value that does not fit its VR makes pydicom raise one of many errors.
        return None
