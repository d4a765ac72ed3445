"""Regions a person has chosen are read as given, and nonsense is refused with the right form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from med_stylesr.errors import UsageError
from med_stylesr.metrics.regions import Roi
from med_stylesr.service.rois import EVERY_SCAN, read_rois


def test_slices_count_from_one_and_pixels_from_zero() -> None:
    assert read_rois(["12,200,240,64"], None) == {EVERY_SCAN: [Roi(11, 200, 240, 64)]}
    assert read_rois([], None) == {}


def test_a_file_may_hold_regions_for_all_scans_or_by_scan(tmp_path: Path) -> None:
    entry = {"slice": 1, "row": 2, "column": 3, "size": 16}
    file = tmp_path / "rois.json"
    file.write_text(json.dumps([entry, [2, 0, 0, 16]]))
    assert read_rois([], file) == {EVERY_SCAN: [Roi(0, 2, 3, 16), Roi(1, 0, 0, 16)]}
    file.write_text(json.dumps({"p1": [entry]}))
    assert read_rois(["1,0,0,32"], file) == {"p1": [Roi(0, 2, 3, 16)], EVERY_SCAN: [Roi(0, 0, 0, 32)]}


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,0,0,16", "1,-1,0,16", "1,0,0,4", ""])
def test_what_is_no_region_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="SLICE,ROW,COLUMN,SIZE"):
        read_rois([text], None)


def test_sizes_that_differ_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one size"):
        read_rois(["1,0,0,16", "1,0,0,32"], None)
    file = tmp_path / "rois.json"
    for content in ("{", '"text"', '{"a": 3}'):
        file.write_text(content)
        with pytest.raises(UsageError):
            read_rois([], file)
    with pytest.raises(UsageError):
        read_rois([], tmp_path / "absent.json")
