"""Enhanced multi-frame CT (PS3.3 A.38) frame by frame: each frame's header as a single-frame CT image would have it."""

from __future__ import annotations

from typing import Final

from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from med_stylesr.errors import InputError
from med_stylesr.io.attributes import integer, word
from med_stylesr.io.enhanced_groups import ATTRIBUTES, RENAMED, UNASSIGNED, UNASSIGNED_SHARED, has_value

MAX_FRAMES: Final = 20_000
"""More frames than any CT has; a count above it is damage."""
_SEQUENCES_LEFT_OUT: Final = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionIndexSequence",
)


def frame_headers(header: Dataset) -> list[Dataset]:
    """One header a frame, with the functional groups' values at the top level.

    Raises:
        InputError: if the functional groups are missing or do not match NumberOfFrames.
    """
    count = integer(header, "NumberOfFrames") or 0
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if not 0 < count <= MAX_FRAMES or len(per_frame) != count:
        why = f"NumberOfFrames is {count}, but {len(per_frame)} frames are described"
        raise InputError(word(header, "SOPInstanceUID"), why, "export it again")
    shared_items = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    common = Dataset()
    for tag in header.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
        common[tag] = header.get_item(tag)
    for keyword in _SEQUENCES_LEFT_OUT:
        if keyword in common:
            delattr(common, keyword)
    _flatten(shared_items[0], common)
    return [_frame(common, item) for item in per_frame]


def _frame(common: Dataset, item: Dataset) -> Dataset:
    header = Dataset({tag: common.get_item(tag) for tag in common.keys()})  # noqa: SIM118 - as above
    implicit, little = common.original_encoding
    header.set_original_encoding(implicit, little, common.original_character_set)
    _flatten(item, header)
    for here, there in RENAMED.items():
        if here in header:
            # Not checked: what is malformed is found out by whoever uses it.
            header.add(DataElement(Tag(there), dictionary_VR(there), header[here].value, validation_mode=IGNORE))
            del header[here]
    return header


def _flatten(groups: Dataset, into: Dataset) -> None:
    for sequence, keywords in ATTRIBUTES.items():
        items = groups.get(sequence)
        for keyword in keywords:
            if items and has_value(items[0], keyword):
                into[keyword] = items[0][keyword]
    for sequence in (UNASSIGNED, UNASSIGNED_SHARED):
        for item in groups.get(sequence) or []:
            for tag in item.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
                if tag not in into:
                    into[tag] = item.get_item(tag)
