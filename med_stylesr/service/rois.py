"""Regions to measure noise in that a person has chosen: from the command line or from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from med_stylesr.errors import UsageError
from med_stylesr.metrics.regions import Roi

EVERY_SCAN: Final = "*"
"""Key of the regions that count in every scan without regions of its own."""
SMALLEST: Final = 8
"""Edge in pixels: a spectrum of fewer has no shape."""
_FORM: Final = "SLICE,ROW,COLUMN,SIZE, slices counted from 1, rows and columns from 0, all in pixels of the reference"


def read_rois(given: Sequence[str], file: Path | None) -> dict[str, list[Roi]]:
    """Regions by the name of the scan they are for; `EVERY_SCAN` for all.

    Args:
        given: texts "slice,row,column,size".
        file: JSON: a list of {"slice", "row", "column", "size"}, or an object of such lists by scan.

    Raises:
        UsageError: if a region cannot be understood, is too small, or sizes of a scan differ.
    """
    rois: dict[str, list[Roi]] = {}
    if file is not None:
        for scan, entries in _read(file).items():
            rois[scan] = [_roi(entry, f"{file}: {entry}") for entry in entries]
    if given:
        rois.setdefault(EVERY_SCAN, []).extend(_roi(text.split(","), f"--roi {text}") for text in given)
    for scan, mine in rois.items():
        if len({roi.size for roi in mine}) > 1:
            whose = "every scan" if scan == EVERY_SCAN else scan
            raise UsageError(f"regions of {whose}", "differ in size", "use one size a scan, so that spectra average")
    return {scan: mine for scan, mine in rois.items() if mine}


def _read(file: Path) -> Mapping[str, Sequence[Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(str(file), f"is no readable JSON file: {error}", "see docs/how-to/evaluate.md") from error
    by_scan = content if isinstance(content, dict) else {EVERY_SCAN: content}
    if not all(isinstance(entries, list) for entries in by_scan.values()):
        raise UsageError(str(file), "holds no lists of regions", "see docs/how-to/evaluate.md")
    return by_scan


def _whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError(f"{value} is not whole")
    return number


def _roi(entry: Any, what: str) -> Roi:
    values: Any = [entry.get(key) for key in ("slice", "row", "column", "size")] if isinstance(entry, dict) else entry
    try:
        number, row, column, size = (_whole(value) for value in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(what, "is no region", f"write {_FORM}") from error
    if number < 1 or row < 0 or column < 0 or size < SMALLEST:
        raise UsageError(what, f"lies outside every scan or is smaller than {SMALLEST} pixels", f"write {_FORM}")
    return Roi(number - 1, row, column, size)
