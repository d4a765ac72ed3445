"""Dates and times of DICOM: strict parsing, shifting, and the ages that may be told.

Source: PS3.5 section 6.2 (DA, TM, DT, AS); ages over 89 are aggregated as 45 CFR 164.514(b)(2)(i)(C) asks.
"""

from __future__ import annotations

import datetime
import re

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d|60)?)?(?:\.\d{1,6})?")
_DATETIME = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?")
_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS_PER_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def valid_date(text: str) -> str | None:
    """The date as YYYYMMDD, or None when it is none (old ACR-NEMA dots are understood)."""
    match = _DATE.fullmatch(text) or _OLD_DATE.fullmatch(text)
    if not match:
        return None
    try:
        return datetime.date(*(int(g) for g in match.groups())).strftime("%Y%m%d").rjust(8, "0")
    except ValueError:
        return None


def valid_time(text: str) -> str | None:
    """The time if it is one of VR TM, otherwise None.

    >>> valid_time("101530.25"), valid_time("SMITH")
    ('101530.25', None)
    """
    return text if _TIME.fullmatch(text) else None


def valid_datetime(text: str) -> str | None:
    """The date and time if it is one of VR DT with a whole date, otherwise None."""
    match = _DATETIME.fullmatch(text)
    if not match or valid_date(match[1]) is None or (match[2] and valid_time(match[2]) is None):
        return None
    return text


def shift_date(text: str, days: int) -> str | None:
    """The date moved by `days`, or None when it is none or leaves the calendar.

    >>> shift_date("20240301", -1)
    '20240229'
    """
    date = valid_date(text)
    if date is None:
        return None
    try:
        moved = datetime.date(int(date[:4]), int(date[4:6]), int(date[6:])) + datetime.timedelta(days=days)
    except (OverflowError, ValueError):
        return None
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"


def shift_datetime(text: str, days: int) -> str | None:
    """The date part moved by `days`, the time and its offset from UTC kept."""
    if valid_datetime(text) is None:
        return None
    date = shift_date(text[:8], days)
    return None if date is None else date + text[8:]


def told_age(text: str, max_age_years: int) -> str | None:
    """The age if it is one of VR AS; above `max_age_years` only that it is above.

    >>> told_age("093Y", 89), told_age("045Y", 89)
    ('090Y', '045Y')
    """
    match = _AGE.fullmatch(text)
    if not match:
        return None
    if int(match[1]) * _YEARS_PER_UNIT[match[2]] >= max_age_years + 1:
        return f"{max_age_years + 1:03d}Y"
    return text
