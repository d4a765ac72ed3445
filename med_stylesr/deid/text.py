"""Cleans free text: known identifiers and everything that looks like one goes; on request only plain words stay.

The patterns follow the identifiers of 45 CFR 164.514(b)(2)(i) that have a form of their own: dates, telephone and fax
numbers, e-mail addresses, social security and other numbers, URLs, IP and hardware addresses, unique identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from med_stylesr.deid.matching import Matcher
from med_stylesr.deid.table import plain_words

MASK: Final = "***"
_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*"
PATTERNS: Final[dict[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "e-mail": r"[^\s@<>,;]+\s?@\s?[^\s@<>,;]+",
        "url": r"\b(?:[a-z][a-z0-9+.-]*://|www\.)\S+"
        r"|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|de|uk|fr|info|local)\b\S*",
        "uid": r"(?<![\d.])\d+(?:\.\d+){5,}",
        "ip": r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])|(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{0,4}",
        "hardware address": r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b",
        "date": r"(?<!\d)(?:\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:\d{4}|\d{2}))(?!\d)"
        rf"|\b\d{{1,2}}(?:st|nd|rd|th)?[-. /]*{_MONTH}[-., /]*\d{{2,4}}\b"
        rf"|\b{_MONTH}[-. /]*\d{{1,2}}(?:st|nd|rd|th)?,?[-. /]+\d{{2,4}}\b"
        r"|\b(?:19|20)\d{2}\b",
        "time": r"(?<!\d)\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?!\d)",
        "telephone": r"(?<![\w.])\+?\(?\d{1,4}\)?(?:[-. /()]{1,2}\d{2,5}){2,}(?![\w.])",
        "long number": r"\d{5,}",
        "mixed number": r"\b(?=(?:[a-z_-]*\d){4})(?=[0-9_-]*[a-z])[a-z0-9_-]{5,}\b",
        "age over 89": r"\b(?:9\d|1[0-3]\d)\s?-?(?:y|yo|yr|yrs|year|years|j|jahre)\b",
    }.items()
}
_WORD: Final = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d+(?:\.\d+)?")
_SMALL_NUMBER: Final = re.compile(r"\d{1,3}(?:\.\d{1,3})?")


class TextCleaner:
    """Cleans text of one study.

    Args:
        matcher: the identifiers of the study.
        extra_words: lower-case words that a profile adds to the plain ones.
    """

    def __init__(self, matcher: Matcher, extra_words: Collection[str] = ()) -> None:
        self._matcher = matcher
        self._words = plain_words() | {w.casefold() for w in extra_words}

    def masked(self, text: str, *, patterns: bool = True) -> str:
        """The text with identifiers and, on request, all that has the form of one replaced by `MASK`."""
        spans = self._matcher.spans(text)
        if patterns:
            spans += [m.span() for pattern in PATTERNS.values() for m in pattern.finditer(text)]
        return replace_spans(text, spans, MASK)

    def plain(self, text: str) -> str:
        """Only words of the plain vocabulary and small numbers, in their order, one space between them."""
        text = replace_spans(text, self._matcher.spans(text), " ")
        for pattern in PATTERNS.values():
            text = pattern.sub(" ", text)
        kept = (word for word in _WORD.findall(text) if self._is_plain(word))
        return " ".join(kept)

    def is_plain(self, text: str) -> bool:
        """Whether nothing of a text would be dropped by `plain` but punctuation."""
        words = _WORD.findall(text)
        return bool(words) and all(map(self._is_plain, words)) and not self._matcher.spans(text)

    def names_someone(self, text: str, *, long_only: bool = False) -> bool:
        """Whether a known identifier is in the text."""
        return bool(self._matcher.spans(text, long_only=long_only))

    def _is_plain(self, word: str) -> bool:
        if word[0].isdecimal():
            return bool(_SMALL_NUMBER.fullmatch(word))
        lower = word.casefold()
        return lower in self._words or all(part in self._words for part in lower.split("-"))


def replace_spans(text: str, spans: Iterable[tuple[int, int]], by: str) -> str:
    """`text` with every (start, stop), merged where they overlap, replaced."""
    parts, last = [], 0
    for start, stop in sorted(spans):
        if stop <= last:
            continue
        if start >= last:
            parts += [text[last:start], by]
        last = stop
    return "".join(parts) + text[last:]
