"""Walks a data set and writes a new one: nothing gets into the output that no rule put there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from med_stylesr.deid import actions, codes
from med_stylesr.deid.actions import Decision, decide
from med_stylesr.deid.ages import RATIONAL_VALUES, years_per_unit
from med_stylesr.deid.codes import code_item
from med_stylesr.deid.content import VALUES_OF_CONTENT, cleaned_code, concept_action, content_value, empty_content
from med_stylesr.deid.context import Context, Counts
from med_stylesr.deid.elements import (
    CHARACTER_SET,
    CONTENT_SEQUENCE,
    DEFAULT_ENCODINGS,
    PIXEL_DATA,
    Element,
    Leaf,
    check_depth,
    concept_of,
    dictionary_vrs,
    effective_vr,
    encode_items,
    encodings_of,
    padded,
    raw_value,
    sequence_items,
)
from med_stylesr.deid.private import safe_private_elements
from med_stylesr.deid.values import ValueCleaner

OVERLAY_GROUPS: Final = range(0x6000, 0x6100)
CURVE_GROUPS: Final = range(0x5000, 0x5100)
PIXEL_TAGS: Final = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009, 0x7FE00001, 0x7FE00002, 0x7FE00003})
CONTRIBUTING_EQUIPMENT: Final = 0x0018A001
OWN_WHOLE_TEXT: Final = frozenset({0x00082111, 0x0018A003, 0x00181020})
"""Texts of a derived object that this program words alone: derivation and contribution description, versions."""
OWN_TEXT: Final = OWN_WHOLE_TEXT | {0x0008103E}
"""Those and the series description, which may quote the source's."""

_CODE_VALUES: Final = (0x00080100, 0x00080119, 0x00080120)
_MEMO_ENTRIES: Final = 20_000
_MEMO_CONTEXTS: Final = 64
_MEMO_BYTES: Final = 65_536


class DatasetCleaner:
    """Applies a profile to data sets, remembering what became of equal values.

    Attributes:
        values: cleans single values.
    """

    def __init__(self, values: ValueCleaner) -> None:
        self.values = values
        self._profile = values.profile
        self._memo: dict[Context, dict[object, tuple[Element | None, Counts]]] = {}
        self._decisions: dict[tuple[int, str, bool], Decision] = {}

    def walk(self, dataset: Dataset, context: Context, counts: Counts, depth: int = 0) -> list[Element]:
        """Elements to write for one data set or item, without pixel data and overlays.

        Args:
            dataset: as read.
            context: see `Context`.
            counts: what was done to which tag, added to.
            depth: nesting so far.

        Raises:
            InputError: for text in an unknown character set or nesting without end.
        """
        check_depth(depth)
        encodings = encodings_of(dataset, context.encodings)
        if encodings != context.encodings:
            context = replace(context, encodings=encodings)
        if len(self._memo) > _MEMO_CONTEXTS:
            self._memo.clear()
        memo = self._memo.setdefault(context, {})
        written = []
        for tag in list(dataset.keys()):
            element = self._element(dataset, int(tag), context, counts, depth, memo)
            if element is not None:
                written.append(element)
        written += safe_private_elements(dataset, self._profile, self.values, context.little_endian)
        return written

    def _element(
        self,
        dataset: Dataset,
        tag: int,
        context: Context,
        counts: Counts,
        depth: int,
        memo: dict[object, tuple[Element | None, Counts]],
    ) -> Element | None:
        group = tag >> 16
        if group % 2:
            counts[tag, actions.REMOVE, "private"] += 1
            return None
        if group in OVERLAY_GROUPS or group in CURVE_GROUPS or tag in PIXEL_TAGS:
            # The object's own pixels are cleaned elsewhere. Shapes can be writing, so overlays and curves always go.
            if not (context.top and tag in PIXEL_TAGS):
                counts[tag, actions.REMOVE, "graphics"] += 1
            return None
        source = dataset.get_item(tag)
        assert source is not None
        memo_key = None
        if isinstance(source, RawDataElement) and source.value is not None and len(source.value) <= _MEMO_BYTES:
            memo_key = (tag, source.VR, source.value)
            known = memo.get(memo_key)
            if known is not None:
                counts.update(known[1])
                return known[0]
        own: Counts = Counter()
        element = self._cleaned(dataset, tag, context, own, depth)
        counts.update(own)
        if memo_key is not None:
            if len(memo) >= _MEMO_ENTRIES:
                memo.clear()
            memo[memo_key] = (element, own)
        return element

    def _cleaned(self, dataset: Dataset, tag: int, context: Context, counts: Counts, depth: int) -> Element | None:
        decision = self._decision(tag, context)
        action = decision.action
        source = dataset.get_item(tag)
        assert source is not None
        vr = effective_vr(tag, source.VR)
        if action == actions.REMOVE or (vr is None and action != actions.PSEUDONYM):
            counts[tag, actions.REMOVE, decision.why if vr is not None else "VR contradicts the dictionary"] += 1
            return None
        if tag == CHARACTER_SET:
            return self._character_set(dataset, context)
        if vr == "SQ":
            return self._sequence(dataset, tag, action, context, counts, depth)
        vr = vr or dictionary_vrs(tag)[0]
        leaf = Leaf(tag, vr, raw_value(source, context.little_endian, context.encodings), context.encodings)
        value = self._value(leaf, action, context)
        required = context.iod.needs_value(tag, context.top)
        if value is None and context.iod.needs_presence(tag, context.top):
            value = b""
        if not value and leaf.value and required and action in (actions.CLEAN, actions.ALLOW, actions.DATE):
            value = self.values.dummy(leaf)
        done = actions.REMOVE if value is None else action if value != leaf.value else actions.KEEP
        counts[tag, done, decision.why] += 1
        return None if value is None else Element(tag, vr, value)

    def _decision(self, tag: int, context: Context) -> Decision:
        if context.derived and tag in OWN_TEXT:
            return Decision(actions.CLEAN, "written by this program")
        if context.years_per_unit is not None and tag in RATIONAL_VALUES:
            return Decision(actions.REMOVE, "an age is no fraction")
        key = (tag, context.iod.name, context.top)
        if key not in self._decisions:
            self._decisions[key] = decide(tag, self._profile, context.iod, context.top)
        return self._decisions[key]

    def _value(self, leaf: Leaf, action: str, context: Context) -> bytes | None:
        values, little = self.values, context.little_endian
        if context.dummies and action in (actions.ALLOW, actions.DUMMY, actions.CLEAN):
            return values.dummy(leaf)
        if context.concept_action is not None and leaf.tag in VALUES_OF_CONTENT:
            return content_value(leaf, context.concept_action, context, values)
        if action == actions.EMPTY:
            return b""
        if action == actions.DUMMY:
            return values.dummy(leaf) if leaf.value else b""
        if action == actions.PSEUDONYM:
            return values.pseudonym(leaf.tag, leaf, context.patient)
        if action == actions.DATE:
            return values.dates(leaf, context.days)
        if action == actions.CLEAN:
            if context.derived and leaf.tag in OWN_WHOLE_TEXT:
                return values.masked(leaf, patterns=False)
            return values.cleaned(leaf, context.days, little)
        if action == actions.UID:
            return values.uids(leaf) if leaf.vr == "UI" else None
        return values.kept(leaf, context.days, little, trusted=action == actions.KEEP)

    def _character_set(self, dataset: Dataset, context: Context) -> Element:
        source = dataset.get_item(CHARACTER_SET)
        assert source is not None
        leaf = Leaf(CHARACTER_SET, "CS", raw_value(source, True, DEFAULT_ENCODINGS))
        # encodings_of has accepted every name in it.
        return Element(CHARACTER_SET, "CS", padded("\\".join(leaf.strings()).encode("ascii"), "CS"))

    def _sequence(
        self, dataset: Dataset, tag: int, action: str, context: Context, counts: Counts, depth: int
    ) -> Element | None:
        if action == actions.EMPTY:
            counts[tag, action, "sequence"] += 1
            return Element(tag, "SQ", b"")
        items = sequence_items(dataset, tag)
        below = replace(context, top=False, derived=False, dummies=context.dummies or action == actions.DUMMY)
        if tag == CONTENT_SEQUENCE and action == actions.DUMMY:
            written = [empty_content(context)] if items else []
        elif tag == CONTRIBUTING_EQUIPMENT and context.derived:
            written = [self.walk(i, replace(below, derived=_is_own_equipment(i)), counts, depth + 1) for i in items]
        else:
            written = list(self._items(items, below, counts, depth))
        counts[tag, actions.KEEP if written or not items else actions.REMOVE, "sequence"] += 1
        if items and not written:
            if context.iod.needs_value(tag, context.top):
                written = [code_item(codes.UNKNOWN_CODE)]
            elif not context.iod.needs_presence(tag, context.top):
                return None
        return Element(tag, "SQ", encode_items(written, context.implicit_vr, context.little_endian))

    def _items(self, items: list[Dataset], context: Context, counts: Counts, depth: int) -> Iterator[list[Element]]:
        for item in items:
            if any(tag in item for tag in _CODE_VALUES):
                code = code_item(codes.UNKNOWN_CODE) if context.dummies else cleaned_code(item, context, self.values)
                if code is not None:
                    yield code
                else:
                    counts[0x00080100, actions.REMOVE, "private or malformed code"] += 1
                continue
            concept = concept_of(item)
            here = replace(context, years_per_unit=years_per_unit(item, concept, context))
            if concept is not None and "clean_structured_content" in self._profile.options:
                action = concept_action(concept, context, self._profile.options)
                if action == actions.REMOVE:
                    counts[CONTENT_SEQUENCE, actions.REMOVE, "table E.3.4-1"] += 1
                    continue
                here = replace(here, concept_action=action)
            elif concept is not None:
                here = replace(here, concept_action=actions.DUMMY)
            elif here.years_per_unit is not None and here.concept_action is None:
                here = replace(here, concept_action=actions.CLEAN)
            yield self.walk(item, here, counts, depth + 1)


def _is_own_equipment(item: Dataset) -> bool:
    return str(item.get("Manufacturer", "")).casefold().startswith(("med-stylesr", "medstylesr"))
