"""Data elements that slices of a series share: made once, put into every header, never changed in place."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_MAX_REMEMBERED: Final = 4096

Value = str | int | bytes | tuple[str, ...] | None


@lru_cache(maxsize=_MAX_REMEMBERED)
def element(keyword: str, value: Value) -> DataElement:
    """The element of a keyword and a value; the same object for the same ones, so it may only be read.

    Args:
        keyword: of the data dictionary (PS3.6).
        value: several values as a tuple.

    Raises:
        ValueError: if there is no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no DICOM keyword")
    return DataElement(tag, dictionary_VR(tag), list(value) if isinstance(value, tuple) else value)


def put(dataset: Dataset, **values: Value) -> None:
    """Set attributes by keyword, each to an element of its own kind, without touching the elements that were there."""
    for keyword, value in values.items():
        dataset.add(element(keyword, value))


def owned(dataset: Dataset) -> Dataset:
    """The dataset with elements of its own, free to be changed in place; raw elements cannot be changed anyway."""
    own = Dataset({e.tag: e if e.is_raw else copy.deepcopy(e) for e in dataset.values()})
    implicit, little = dataset.original_encoding
    own.set_original_encoding(implicit, little, dataset.original_character_set)
    return own
