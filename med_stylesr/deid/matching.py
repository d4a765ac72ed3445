"""Finds known identifiers in text whatever their case, accents, order or separators.

Text and identifiers are folded (compatibility decomposition, no case, no accents, no separators) and compared there;
short identifiers must stand alone, so that the name "Li" is not found in "Liver".
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

LONG: Final = 5
"""From this many characters on an identifier is also found inside a longer word."""
LONG_NUMBER: Final = 8
"""From this many digits on a number is also found inside a longer number."""

_UNDECOMPOSED: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa"})


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    folded = unicodedata.normalize("NFKD", character.casefold()).translate(_UNDECOMPOSED).casefold()
    return "".join(c for c in folded if c.isalnum())


def fold(text: str) -> str:
    """Letters and digits only, without case and accents.

    >>> fold("Müller-Lüdenscheidt, Ørjan")
    'mullerludenscheidtorjan'
    """
    return "".join(map(_fold_character, text))


def spellings(text: str) -> set[str]:
    """Folded forms of an identifier: as written, umlauts spelled out, numbers without leading zeros."""
    plain = unicodedata.normalize("NFC", text.casefold())
    forms = {fold(plain), fold(plain.translate(_UMLAUTS))}
    forms |= {f.lstrip("0") for f in forms if f.isdecimal() and len(f.lstrip("0")) >= LONG}
    return forms - {""}


class Matcher:
    """Finds any of many identifiers in a text; the time does not depend on how many there are.

    Args:
        identifiers: folded identifiers (see `spellings`).
        plain_words: words that identifiers inside do not make identifying: the name Thora is not in "thorax".
    """

    def __init__(self, identifiers: Iterable[str], plain_words: frozenset[str] = frozenset()) -> None:
        self._plain = plain_words
        self._starts: defaultdict[str, list[str]] = defaultdict(list)
        self._short: set[str] = set()
        for identifier in set(identifiers):
            if len(identifier) >= LONG:
                self._starts[identifier[:LONG]].append(identifier)
            elif identifier:
                self._short.add(identifier)
        self._short_lengths = sorted({len(s) for s in self._short})
        self.empty = not self._starts and not self._short

    def spans(self, text: str, *, long_only: bool = False) -> list[tuple[int, int]]:
        """Places of identifiers in `text` as (start, stop), sorted, overlapping ones merged.

        Args:
            text: any text.
            long_only: leave out identifiers that are too short to be told from chance outside free text.
        """
        if self.empty or not text:
            return []
        letters: list[str] = []
        places: list[int] = []
        for place, character in enumerate(text):
            for letter in _fold_character(character):
                letters.append(letter)
                places.append(place)
        folded = "".join(letters)
        found = []
        for i in range(len(folded)):
            for identifier in self._starts.get(folded[i : i + LONG], ()):
                if folded.startswith(identifier, i):
                    span = (places[i], places[i + len(identifier) - 1] + 1)
                    if self._stands(text, span, identifier):
                        found.append(span)
            if not long_only and _starts_word(text, places, i):
                found += self._short_at(text, folded, places, i)
        return _merged(found)

    def _short_at(self, text: str, folded: str, places: list[int], i: int) -> list[tuple[int, int]]:
        found = []
        for length in self._short_lengths:
            stop = i + length
            if folded[i:stop] in self._short and len(folded) >= stop and _starts_word(text, places, stop):
                span = (places[i], places[stop - 1] + 1)
                if self._stands(text, span, folded[i:stop]):
                    found.append(span)
        return found

    def _stands(self, text: str, span: tuple[int, int], identifier: str) -> bool:
        """Whether a find is one: a number by itself, or no mere part of a plain word."""
        if identifier.isdecimal():
            return _is_number_by_itself(text, span, len(identifier))
        start, stop = span
        while start > 0 and text[start - 1].isalpha():
            start -= 1
        while stop < len(text) and text[stop].isalpha():
            stop += 1
        word = text[start:stop].casefold()
        return word not in self._plain or fold(word) == identifier


def _starts_word(text: str, places: list[int], i: int) -> bool:
    """Whether folded character `i` begins a word (or is behind the end): a change of kind counts as a border."""
    if i == 0 or i >= len(places):
        return True
    here, before = places[i], places[i - 1]
    if here == before:
        return False
    if any(not text[p].isalnum() and not unicodedata.combining(text[p]) for p in range(before + 1, here)):
        return True
    a, b = text[before], text[here]
    ideographs = ord(a) >= 0x2E80 or ord(b) >= 0x2E80
    return a.isdecimal() != b.isdecimal() or (a.islower() and b.isupper()) or ideographs


def _is_number_by_itself(text: str, span: tuple[int, int], digits: int) -> bool:
    """Whether digits at `span` are a number of their own and no part of a longer one, of a decimal or of a UID."""
    start, stop = span
    if "." in text[start:stop]:
        return False
    head, tail = text[:start].rstrip("0"), text[stop:]
    touches = head[-1:].isdecimal() or tail[:1].isdecimal()
    decimal = (head[-1:] == "." and head[-2:-1].isdecimal()) or (tail[:1] == "." and tail[1:2].isdecimal())
    if decimal:
        return False
    return not touches or digits >= LONG_NUMBER


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
