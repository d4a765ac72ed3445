"""Searches bytes for identifiers, whatever they are meant to be: headers, pixels, compressed frames."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from med_stylesr.deid.harvest import Harvest
from med_stylesr.deid.matching import Matcher
from med_stylesr.deid.table import BASIC_PROFILE_CODE, OPTIONS, plain_words

DUMMY_DATE: Final = "19000101"
"""What stands for a date that must not be empty."""
SHORT_RUN: Final = 4
LONG_RUN: Final = 6
_RUNS: Final = {n: re.compile(rb"[\x09\x20-\x7e\x80-\xff]{%d,}" % n) for n in (SHORT_RUN,)}
_ASCII_RUNS: Final = re.compile(rb"[\x20-\x7e]{%d,}" % LONG_RUN)
_OWN_UIDS: Final = re.compile(r"2\.25\.\d+|1\.2\.840\.10008(?:\.\d+)*")
_OWN_WORDS: Final = re.compile(
    "|".join(re.escape(meaning) for _, meaning in (BASIC_PROFILE_CODE, *OPTIONS.values())) + "|REMOVED|Anonymous"
)
_UIDS: Final = re.compile(r"(?<![\d.])\d+(?:\.\d+){4,}")
_DATES: Final = re.compile(r"(?<!\d)(?:19|20)\d{6}(?!\d)")
_OTHER_READINGS: Final = ("utf-8", "gb18030", "shift_jis", "euc_kr", "iso2022_jp")
_MEMO_ENTRIES: Final = 50_000


def printable_runs(data: bytes) -> list[bytes]:
    """Runs of at least `LONG_RUN` printable ASCII characters; quick where there are none, as in CT pixels."""
    if len(data) < LONG_RUN:
        return []
    # A run of six holds two whole neighbouring pairs of bytes; both bytes of a pair are tested at once: a byte below
    # 0x80 reaches 0x80 when 0x60 is added exactly if it is printable (0x7f counts too, the pattern sorts it out).
    pairs = np.frombuffer(data, dtype=np.uint16, count=len(data) // 2)
    printable = ((pairs & 0x7F7F) + np.uint16(0x6060)) & ~pairs & np.uint16(0x8080) == 0x8080
    if not (printable[:-1] & printable[1:]).any():
        return []
    return _ASCII_RUNS.findall(data)


class ByteSearch:
    """Searches the bytes of files for everything that was harvested, and remembers what is clean.

    Args:
        harvested: identifiers, dates and UIDs of the sources.
        uids: whether original UIDs must not be found.
        dates: whether original dates must not be found.
    """

    def __init__(self, harvested: Harvest, *, uids: bool, dates: bool) -> None:
        self._matcher = Matcher(harvested.identifiers, plain_words())
        self._uids = harvested.uids if uids else set()
        self._dates = harvested.dates - {DUMMY_DATE} if dates else set()
        self._memo: dict[bytes, bool] = {}
        self._values: dict[str, bool] = {}

    def header_leaks(self, header: bytes) -> int:
        """How many runs of text in header bytes hold an identifier; text of two bytes a character is seen too.

        Identifiers of fewer than five characters are left to `value_leaks`: in bytes they come about by chance.
        """
        runs = _RUNS[SHORT_RUN].findall(header)
        wide = re.sub(rb"([\x20-\x7e])\x00(?=[\x20-\x7e]\x00)", rb"\1", header) if b"\0" in header else header
        if wide != header:
            runs += [run for run in _RUNS[SHORT_RUN].findall(wide) if run not in runs]
        return sum(map(self._leaks, runs))

    def pixel_leaks(self, pixels: bytes) -> int:
        """How many runs of text in bytes that are no text hold an identifier long enough not to be chance."""
        return sum(bool(self._matcher.spans(run.decode("ascii"), long_only=True)) for run in printable_runs(pixels))

    def name_leaks(self, name: str) -> bool:
        """Whether the name of a file or folder holds an identifier."""
        return self._leaks(name.encode("utf-8", "surrogateescape"))

    def value_leaks(self, text: str) -> bool:
        """Whether a free text value holds an identifier, however short."""
        known = self._values.get(text)
        if known is None:
            known = self._values[text] = bool(self._matcher.spans(text))
        return known

    def _leaks(self, run: bytes) -> bool:
        known = self._memo.get(run)
        if known is None:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            known = self._memo[run] = any(self._names(text) for text in _readings(run))
        return known

    def _names(self, text: str) -> bool:
        uids = _UIDS.findall(text)
        if any(uid in self._uids for uid in uids):
            return True
        rest = _OWN_WORDS.sub(" ", _UIDS.sub(" ", _OWN_UIDS.sub(" ", text)))
        if any(date in self._dates for date in _DATES.findall(rest)):
            return True
        return bool(self._matcher.spans(rest, long_only=True))


def _readings(run: bytes) -> list[str]:
    readings = [run.decode("latin-1")]
    if not run.isascii():
        for encoding in _OTHER_READINGS:
            readings.append(run.decode(encoding, "ignore"))
    return readings
