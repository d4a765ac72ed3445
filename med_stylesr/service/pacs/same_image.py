"""Whether two files are one image that was only encoded in two ways."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

_COMPARABLE: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
"""Encodings with the same bytes of pixel data; nothing is decompressed on behalf of a sender."""


def are_same_image(one: Path, other: Path) -> bool:
    """Whether two files hold the same attributes and pixel data.

    Files may differ in lengths of groups and sequences, padding of values and, when uncompressed, in their VR encoding:
    all of which changes when an archive sends an image that it has stored once more. What cannot be compared counts
    as different.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, second = pydicom.dcmread(one), pydicom.dcmread(other)
            syntaxes = {first.file_meta.TransferSyntaxUID, second.file_meta.TransferSyntaxUID}
            if len(syntaxes) > 1 and not syntaxes <= set(_COMPARABLE):
                return False
            return bool(_comparable(first) == _comparable(second))
    except Exception:
        # pydicom raises whatever its parser stumbles over; a doubt is no proof of sameness.
        return False


def _comparable(dataset: Dataset) -> Dataset:
    for tag in [tag for tag in dataset.keys() if tag.element == 0]:  # noqa: SIM118 - values are not needed
        del dataset[tag]
    plain = Dataset()
    plain.update(dataset)
    return plain
