"""Private elements: all are removed but those of the standard's safe list (PS3.15 section E.3.10) or the profile's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.deid.elements import DEFAULT_ENCODINGS, Element, Leaf, padded, private_vr, raw_value
from med_stylesr.deid.profile import Profile
from med_stylesr.deid.values import ValueCleaner

_NUMERIC: Final = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "CS"})


@lru_cache(maxsize=1)
def standard_safe_list() -> dict[tuple[str, int, int], str]:
    """VR by (creator, group, element byte) of the safe private attributes that hold no text."""
    text = resources.files("med_stylesr.deid").joinpath("data", "safe_private.json").read_text(encoding="utf-8")
    return {(c, int(g, 16), int(e, 16)): vr for c, g, e, vr in json.loads(text)["attributes"]}


def safe_private_elements(
    dataset: Dataset, profile: Profile, values: ValueCleaner, little_endian: bool
) -> Iterator[Element]:
    """The private elements that stay, with the creators of their blocks.

    Only numbers and code strings stay, whatever VR the file gives them: free text of a vendor is nobody's promise.
    """
    safe = dict(standard_safe_list()) if "retain_safe_private" in profile.options else {}
    safe.update({entry: safe.get(entry, "") for entry in profile.private})
    if not safe:
        return
    creators = {creator for creator, _, _ in safe}
    for tag in list(dataset.keys()):
        group, number = int(tag) >> 16, int(tag) & 0xFFFF
        if group % 2 == 0 or not 0x10 <= number <= 0xFF:
            continue
        element = dataset.get_item(tag)
        assert element is not None
        creator = Leaf(int(tag), "LO", raw_value(element, little_endian, DEFAULT_ENCODINGS)).strings()[0]
        if creator not in creators:
            continue
        kept = list(_block(dataset, group, number, creator, safe, values, little_endian))
        if kept:
            yield Element(int(tag), "LO", padded(creator.encode("ascii"), "LO"))
            yield from kept


def _block(
    dataset: Dataset,
    group: int,
    block: int,
    creator: str,
    safe: dict[tuple[str, int, int], str],
    values: ValueCleaner,
    little_endian: bool,
) -> Iterator[Element]:
    for low in range(0x100):
        tag = group << 16 | block << 8 | low
        if tag not in dataset or (creator, group, low) not in safe:
            continue
        element = dataset.get_item(tag)
        assert element is not None
        vr = private_vr(tag, element.VR, creator)
        expected = safe[creator, group, low] or vr
        if vr not in _NUMERIC or vr != expected:
            continue
        leaf = Leaf(tag, vr, raw_value(element, little_endian, DEFAULT_ENCODINGS))
        value = values.kept(leaf, 0, little_endian, trusted=False)
        if value is not None:
            yield Element(tag, vr, value)
