"""Collects the identifiers of a study, so that they can be searched for everywhere else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from med_stylesr.deid.dates import valid_date
from med_stylesr.deid.elements import Leaf, leaves
from med_stylesr.deid.matching import spellings
from med_stylesr.deid.table import attribute_rules, concept_rules, harvest_words, plain_words

_IDENTIFYING_VRS: Final = frozenset({"LO", "SH", "AE", "UC", "ST", "LT", "UT"})
_NOT_IDENTIFIERS: Final = frozenset(
    # Characteristics and settings: rows of the table whose values many people share.
    {0x00100022, 0x00102160, 0x00102162, 0x00102110, 0x001021A0, 0x001021D0, 0x001021F0, 0x00080201, 0x00380050,
     0x0040A167, 0x00401010, 0x00401400, 0x00181251, 0x00409098, 0x00102203, 0x00321032, 0x00080107, 0x00080106}
)  # fmt: skip
_SPLIT: Final = re.compile(r"[\s,;:/()|^=\\]+")


@dataclass
class Harvest:
    """Identifiers found in headers; grows by `add` and `merge`, holds no pixel data.

    Attributes:
        identifiers: folded names, numbers, addresses and institutions.
        dates: dates as YYYYMMDD.
        uids: unique identifiers that are not the standard's own.
    """

    identifiers: set[str] = field(default_factory=set)
    dates: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"Harvest({len(self.identifiers)} identifiers, {len(self.dates)} dates, {len(self.uids)} UIDs)"

    def merge(self, other: Harvest) -> None:
        """Take in what another harvest found."""
        self.identifiers |= other.identifiers
        self.dates |= other.dates
        self.uids |= other.uids

    def add(self, dataset: Dataset, options: Collection[str]) -> None:
        """Take the identifiers of a header, at every depth.

        Args:
            dataset: a data set, as read; it is not changed.
            options: the PS3.15 options of the profile: what they keep is not searched for.
        """
        for leaf in leaves(dataset):
            self._add_leaf(leaf, options)

    def add_name(self, name: str) -> None:
        """Take a person's name: every component of every group, and parts of double names."""
        for group in name.split("="):
            whole = spellings(group)
            self.identifiers |= {w for w in whole if len(w) >= 4 and w not in harvest_words("no_names")}
            for component in group.split("^")[:3]:
                for part in {component, *re.split(r"[\s\-,.'’]+", component)}:
                    self.identifiers |= {w for w in spellings(part) if _is_name(w)}

    def add_identifier(self, value: str) -> None:
        """Take a number, code, address or institution: the whole value and its telling words."""
        for line in re.split(r"[\r\n]+", value):
            for form in spellings(line):
                if form not in harvest_words("no_names") and form not in plain_words() and (len(form) >= 3):
                    self.identifiers.add(form)
            words = [w for w in _SPLIT.split(line) if w]
            for word in words if len(words) > 1 else ():
                for form in spellings(word):
                    number = any(c.isdecimal() for c in form)
                    ordinary = (
                        form in harvest_words("place_words")
                        or form in plain_words()
                        or form in harvest_words("no_names")
                    )
                    if len(form) >= (5 if number else 4) and not ordinary:
                        self.identifiers.add(form)

    def _add_leaf(self, leaf: Leaf, options: Collection[str]) -> None:
        if leaf.vr == "PN":
            rule = attribute_rules().get(leaf.tag)
            if rule is None or rule.action(options) != "K":
                for name in leaf.strings():
                    self.add_name(name)
        elif leaf.vr == "UI":
            if "retain_uids" not in options:
                self.uids |= {u for u in leaf.strings() if u and not u.startswith("1.2.840.10008.")}
        elif leaf.vr in ("DA", "DT"):
            if "retain_longitudinal_full_dates" not in options or leaf.tag == 0x00100030:
                self.dates |= {d for d in (valid_date(v[:8]) for v in leaf.strings()) if d}
        elif leaf.vr in _IDENTIFYING_VRS and _identifies(leaf, frozenset(options)):
            for value in leaf.strings():
                self.add_identifier(value)


def _is_name(word: str) -> bool:
    if (
        word in harvest_words("name_particles")
        or word in harvest_words("no_names")
        or (word.isdecimal() and len(word) < 4)
    ):
        return False
    return len(word) >= 2 or (len(word) == 1 and ord(word) >= 0x2E80)


def _identifies(leaf: Leaf, options: frozenset[str]) -> bool:
    if leaf.tag == 0x0040A160:  # Text Value of a content item: its concept name tells what it is.
        rule = concept_rules().get(leaf.concept) if leaf.concept else None
        return rule is not None and "clean_descriptors" not in rule.options and rule.action(options) != "K"
    return leaf.tag in _identifying_tags(options)


@lru_cache(maxsize=16)
def _identifying_tags(options: frozenset[str]) -> frozenset[int]:
    return frozenset(_tags_with_identifiers(options))


def _tags_with_identifiers(options: Collection[str]) -> Iterator[int]:
    for tag, rule in attribute_rules().items():
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            continue
        free_text = "clean_descriptors" in rule.options
        if vr in _IDENTIFYING_VRS and not free_text and tag not in _NOT_IDENTIFIERS and rule.action(options) != "K":
            yield tag
