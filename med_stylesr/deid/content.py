"""Codes and content items: values that have their rule in the concept beside them (PS3.15, table E.3.4-1)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.deid import actions, ages, codes
from med_stylesr.deid.codes import code_item
from med_stylesr.deid.context import Context
from med_stylesr.deid.elements import CONCEPT_NAME, Element, Leaf, encode_items, raw_value
from med_stylesr.deid.table import concept_rules
from med_stylesr.deid.values import ValueCleaner

_TEXT_VALUE: Final = 0x0040A160
VALUES_OF_CONTENT: Final = ages.RATIONAL_VALUES | {
    _TEXT_VALUE, ages.NUMERIC_VALUE, ages.FLOATING_POINT_VALUE, 0x0040A123, 0x0040A121, 0x0040A122, 0x0040A120,
    0x0040A124, 0x0040A168, 0x0040A13A,
}  # fmt: skip


def concept_action(concept: tuple[str, str], context: Context, options: Set[str]) -> str:
    """Action of table E.3.4-1 for the value of a content item.

    Args:
        concept: code value and scheme of the item's name.
        context: of the item.
        options: options of the profile.
    """
    rule = concept_rules().get(concept)
    if rule is None:
        return actions.CLEAN
    # Items of content trees have no types of their own; X/D leaves the item out.
    return actions.resolve(rule.action(options), 0, context.iod, False)


def content_value(leaf: Leaf, action: str, context: Context, values: ValueCleaner) -> bytes | None:
    """Value to write for a content item's value, by the action of its concept."""
    if leaf.vr == "UI":
        return values.uids(leaf)
    if leaf.vr in ("DA", "DT", "TM"):
        shown = values.dates(leaf, context.days) if action != actions.DUMMY else None
        return shown or values.dummy(leaf)
    if leaf.vr == "PN" and action != actions.KEEP:
        return values.dummy(leaf)
    if action == actions.DUMMY or (leaf.tag == _TEXT_VALUE and context.years_per_unit is not None):
        return values.dummy(leaf)
    if action == actions.KEEP:
        shown = values.kept(leaf, context.days, context.little_endian, trusted=True)
    else:
        shown = values.cleaned(leaf, context.days, context.little_endian) or values.dummy(leaf)
    if shown is None or context.years_per_unit is None:
        return shown
    age = replace(leaf, value=shown)
    return ages.told_value(age, context.years_per_unit, context.little_endian, values.profile.max_age_years)


def cleaned_code(item: Dataset, context: Context, values: ValueCleaner) -> list[Element] | None:
    """A code as the dictionary knows it; None for one that is private, malformed or an identifier."""
    texts = []
    for tag in (0x00080100, 0x00080102, 0x00080104):
        source = item.get_item(tag)
        if source is None:
            return None
        leaf = Leaf(tag, "LO", raw_value(source, context.little_endian, context.encodings), context.encodings)
        texts.append(leaf.strings()[0])
    code = codes.clean_code(*texts)
    if code is None or values.matcher.spans(code[0], long_only=True):
        return None
    return code_item(code)


def empty_content(context: Context) -> list[Element]:
    """A content item that says that there was content (PS3.3 C.17.3)."""
    name = encode_items([code_item(("121106", "DCM", "Comment"))], context.implicit_vr, context.little_endian)
    return [
        Element(0x0040A010, "CS", b"CONTAINS"),
        Element(0x0040A040, "CS", b"TEXT"),
        Element(CONCEPT_NAME, "SQ", name),
        Element(0x0040A160, "UT", b"REMOVED "),
    ]
