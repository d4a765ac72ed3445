"""Cleans one value at a time: what may stay is written anew in its plainest form, what does not parse goes.

Every method takes the raw bytes of an element and gives the bytes to write, or None to leave the element out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.charset import encode_string
from pydicom.datadict import dictionary_description, tag_for_keyword

from med_stylesr.deid import dates
from med_stylesr.deid.bytesearch import DUMMY_DATE, printable_runs
from med_stylesr.deid.elements import Leaf, decode, dictionary_vrs, other_readings, padded
from med_stylesr.deid.keys import SecretKey
from med_stylesr.deid.matching import Matcher
from med_stylesr.deid.profile import Profile
from med_stylesr.deid.table import DATE_OPTIONS, defined_terms, text_patterns
from med_stylesr.deid.text import PATTERNS, TextCleaner

PATIENT_NAME: Final = 0x00100010
PSEUDONYMS: Final[dict[int, tuple[str, str]]] = {
    # Tag -> (purpose, prefix): these stay linkable for the key holder instead of being emptied.
    0x00100020: ("patient", "P"),
    PATIENT_NAME: ("patient", "P"),
    0x00080050: ("accession", "A"),
    0x00200010: ("study", "S"),
}
_LENGTHS: Final = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "CS": 16, "AE": 16}
_DUMMIES: Final = {
    "AE": "ANONYMOUS", "AS": "000Y", "CS": "REMOVED", "DA": DUMMY_DATE, "DS": "0", "DT": DUMMY_DATE, "IS": "0",
    "LO": "REMOVED", "LT": "REMOVED", "PN": "Anonymous^", "SH": "REMOVED", "ST": "REMOVED", "TM": "000000",
    "UC": "REMOVED", "UR": "urn:removed", "UT": "REMOVED",
}  # fmt: skip
_TEXT: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
_ITEM_BYTES: Final = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "UV": 8, "SV": 8}
_INTEGER_CODES: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q"}
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,8}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_INTEGER: Final = re.compile(r"[+-]?\d{1,7}")
_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_TABLES_OF_VALUES: Final = frozenset({0x00283006, 0x00281201, 0x00281202, 0x00281203})
_SHORT_BINARY: Final = 64


class ValueCleaner:
    """Cleans values under one profile, key and set of identifiers."""

    def __init__(self, profile: Profile, key: SecretKey, matcher: Matcher) -> None:
        self.profile = profile
        self.key = key
        self.matcher = matcher
        self.text = TextCleaner(matcher, profile.extra_words)
        self.keeps_dates = "retain_longitudinal_full_dates" in profile.options
        self.shifts_dates = DATE_OPTIONS[1] in profile.options
        self.keeps_uids = "retain_uids" in profile.options

    def kept(self, leaf: Leaf, days: int, little_endian: bool, *, trusted: bool) -> bytes | None:
        """A value that may stay, checked against its VR and searched for identifiers.

        Args:
            leaf: the element.
            days: offset for dates.
            little_endian: byte order of binary values.
            trusted: the standard's table or the profile keeps this text; otherwise it must match known wording.
        """
        vr = leaf.vr
        if vr in _TEXT:
            return self._text(leaf, trusted)
        if vr == "CS":
            return self._code_strings(leaf)
        if vr in ("DS", "IS"):
            return self._numbers(leaf, _DECIMAL if vr == "DS" else _INTEGER)
        if vr == "UI":
            return self.uids(leaf)
        if vr in ("DA", "DT", "TM"):
            return self.dates(leaf, days)
        if vr == "AS":
            return _joined([dates.told_age(v, self.profile.max_age_years) for v in leaf.strings()])
        if vr in _ITEM_BYTES:
            return self._binary(leaf, little_endian)
        if vr == "PN" and trusted:
            return self.masked(leaf, patterns=False)
        if vr == "AE" and trusted:
            return None if self._names_someone(leaf) else _joined([v[:16] for v in leaf.strings()])
        if vr in ("OB", "OW") and leaf.tag in _TABLES_OF_VALUES and not self.hides_text(leaf.value):
            return padded(leaf.value, vr)
        return None

    def cleaned(self, leaf: Leaf, days: int, little_endian: bool) -> bytes | None:
        """Action C: text reduced to what cannot identify, dates shifted, everything else as in `kept`."""
        if leaf.vr in _TEXT:
            if self.profile.free_text == "search":
                return self.masked(leaf, patterns=True)
            text = "\\".join(self.text.plain(v) for v in leaf.strings())
            return self._encoded(text.strip("\\"), leaf)
        if leaf.vr == "AE":
            return None
        return self.kept(leaf, days, little_endian, trusted=True)

    def dates(self, leaf: Leaf, days: int) -> bytes | None:
        """Dates and times as the profile wants them; None when they are not kept."""
        if not (self.keeps_dates or self.shifts_dates):
            return None
        days = 0 if self.keeps_dates else days
        if leaf.vr == "TM":
            return _joined([dates.valid_time(v) for v in leaf.strings()])
        change = dates.shift_date if leaf.vr == "DA" else dates.shift_datetime
        return _joined([change(v, days) for v in leaf.strings()])

    def uids(self, leaf: Leaf) -> bytes | None:
        """Unique identifiers: the standard's own stay, all others are replaced unless the profile keeps them."""
        return padded("\\".join(self.uid(u) if u else "" for u in leaf.strings()).encode("ascii"), "UI")

    def uid(self, original: str) -> str:
        """What stands for one unique identifier."""
        if original in UID_dictionary:
            return original
        if self.keeps_uids and len(original) <= 64 and _UID.fullmatch(original):
            tail = set(original.split("."))
            if not any(self.matcher.spans(part, long_only=True) for part in tail):
                return original
        return self.key.uid(original)

    def pseudonym(self, tag: int, leaf: Leaf, patient: str) -> bytes:
        """A keyed pseudonym; nothing stays nothing."""
        value = leaf.strings()[0] if leaf.value.strip(b" \0") else ""
        if not value:
            return b""
        purpose, prefix = PSEUDONYMS.get(tag, (f"{tag:08X}", "X"))
        original = patient if tag == PATIENT_NAME else value
        shown = self.key.pseudonym(purpose, original, prefix, 16)
        if leaf.vr == "PN":
            shown = f"Anonymous^{shown}"
        return padded(shown.encode("ascii"), leaf.vr)

    def dummy(self, leaf: Leaf) -> bytes | None:
        """Action D: a value of the right form that says nothing."""
        if leaf.vr == "UI":
            return self.uids(leaf)
        if leaf.vr in _DUMMIES:
            return padded(_DUMMIES[leaf.vr].encode("ascii"), leaf.vr)
        if leaf.vr in _ITEM_BYTES:
            return bytes(_ITEM_BYTES[leaf.vr])
        return b"\0\0" if leaf.vr in ("OB", "OW", "UN") else None

    def masked(self, leaf: Leaf, *, patterns: bool) -> bytes | None:
        """Text with known identifiers, and on request all that has the form of one, masked."""
        values = leaf.strings()
        text = "\\".join(values)
        if any(self.matcher.spans(reading) for reading in other_readings(leaf.value)):
            return None
        masked = self.text.masked(text, patterns=patterns)
        return self._encoded(masked, leaf)

    def hides_text(self, value: bytes) -> bool:
        """Whether bytes that are no text hold a known identifier or, in a short value, a run of letters and digits.

        In long tables of numbers such runs come about by chance.
        """
        for run in printable_runs(value):
            text = run.decode("ascii")
            if len(value) <= _SHORT_BINARY and re.search(r"[A-Za-z0-9_^ -]{8,}", text) and len(set(text)) > 3:
                return True
            if self.matcher.spans(text, long_only=True):
                return True
        return False

    def _text(self, leaf: Leaf, trusted: bool) -> bytes | None:
        if trusted:
            return self.masked(leaf, patterns=False)
        patterns = text_patterns().get(leaf.tag)
        if not patterns:
            return None
        if self.profile.free_text == "search":
            return self.masked(leaf, patterns=True)
        if self._names_someone(leaf):
            return None
        return self._encoded("\\".join(self._worded(v, patterns) for v in leaf.strings()).strip("\\"), leaf)

    def _worded(self, value: str, patterns: tuple[str, ...]) -> str:
        for pattern in patterns:
            if pattern == "words":
                return self.text.plain(value)
            if pattern == "keyword":
                if tag_for_keyword(value.replace(" ", "")) is not None:
                    return value
            elif re.fullmatch(pattern, value):
                return value
        return ""

    def _encoded(self, text: str, leaf: Leaf) -> bytes | None:
        clean = "".join(c for c in text if c.isprintable() or c in "\r\n\t")
        if "\ufffd" in clean:
            return None
        limit = _LENGTHS.get(leaf.vr)
        if limit and leaf.vr in ("SH", "LO"):
            clean = "\\".join(v[:limit].strip() for v in clean.split("\\"))
        if not clean.strip():
            return b""
        if clean.isascii():
            return padded(clean.encode("ascii"), leaf.vr)
        encoded = encode_string(clean, list(leaf.encodings))
        return padded(encoded, leaf.vr) if decode(encoded, leaf.encodings) == clean else None

    def _code_strings(self, leaf: Leaf) -> bytes | None:
        if self._names_someone(leaf):
            return None
        kept = [v if self._is_term(v) else "" for v in leaf.strings()]
        return _joined(kept) if any(kept) or not leaf.value.strip() else None

    def _is_term(self, value: str) -> bool:
        terms = defined_terms()
        if value in terms or not value:
            return True
        if not re.fullmatch(r"[A-Z0-9 _]{1,16}", value):
            return False
        if self.profile.free_text == "search" and leaf_is_plain(value):
            return True
        return all(w in terms or self.text.is_plain(w) for w in re.split("[ _]+", value) if w)

    def _numbers(self, leaf: Leaf, form: re.Pattern[str]) -> bytes | None:
        values = leaf.strings()
        if any(v and (len(v) > 16 or not form.fullmatch(v)) for v in values):
            return None
        if any(self.matcher.spans(v, long_only=True) for v in values):
            return None
        return _joined(values)

    def _binary(self, leaf: Leaf, little_endian: bool) -> bytes | None:
        size = _ITEM_BYTES[leaf.vr]
        if len(leaf.value) % size or (len(leaf.value) >= 6 and self.hides_text(leaf.value)):
            return None
        code = _INTEGER_CODES.get(leaf.vr)
        if code and not self.matcher.empty and len(leaf.value) <= 64:
            order = "<" if little_endian else ">"
            numbers = struct.unpack(order + code * (len(leaf.value) // size), leaf.value)
            if any(n >= 10**4 and self.matcher.spans(str(n), long_only=True) for n in numbers):
                return None
        return leaf.value

    def _names_someone(self, leaf: Leaf) -> bool:
        text = "\\".join(leaf.strings())
        return self.text.names_someone(text, long_only=True) or any(
            self.matcher.spans(reading) for reading in other_readings(leaf.value)
        )


def leaf_is_plain(value: str) -> bool:
    """Whether a code string has no form of an identifier."""
    return not any(pattern.search(value) for pattern in PATTERNS.values()) and not re.search(r"\d{4}", value)


def describes(tag: int) -> str:
    """Name of an attribute for reports, never of a private one."""
    return dictionary_description(tag) if dictionary_vrs(tag) else "unknown"


def _joined(values: Sequence[str | None]) -> bytes | None:
    if any(v is None for v in values):
        return None
    text = "\\".join(v or "" for v in values).rstrip("\\")
    try:
        return padded(text.encode("ascii"), "CS")
    except UnicodeEncodeError:
        return None
