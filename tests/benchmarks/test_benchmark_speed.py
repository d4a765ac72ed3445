"""The page of speed tells every target with what was found, and its scans are scans."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks import end_to_end, speed_targets
from benchmarks.end_to_end import Run

from med_stylesr.io.source import find_inputs

ROOT = Path(__file__).resolve().parents[2]
SECONDS = {"openvino bfloat16 x1": 0.1, "openvino bfloat16 x2": 0.2, "RED-CNN": 4.0, "WGAN-VGG": 0.5}
# Nobody gets it unasked, so that it may not decide: by it the first target would be missed no more.
INT8 = {"openvino int8 x1": 0.01, "openvino int8 x2": 0.02}
OURS, FAST = "whole", "fast"
SCANS = [Run(OURS, 50, 2.0, 5.0, 8.0, 0.5), Run(OURS, 150, 2.0, 9.0, 16.0, 0.6), Run(OURS, 300, 2.0, 15.0, 28.0, 0.7)]
HALF = [Run(FAST, 50, 2.0, 4.0, 6.0, 0.5), Run(FAST, 300, 2.0, 9.0, 16.0, 0.7)]
DEEP = Run(OURS, 100, 5.0, 50.0, 90.0, 2.0)


def told(seconds: dict[str, float], share: float, scans: list[Run], fast: list[Run], deep: Run) -> list[str]:
    shares = {"float32": share, "bfloat16": 0.9}
    return [row[2] for row in speed_targets.rows(seconds, shares, [scans, fast], deep)[1:]]


def test_targets_are_met_where_the_numbers_say_so_and_nowhere_else() -> None:
    assert told(SECONDS, 0.8, SCANS, HALF, DEEP) == ["yes"] * 13 + ["–"]
    slow = [
        Run(OURS, 50, 4.0, 10.0, 8.0, 3.0),
        Run(OURS, 150, 4.0, 20.0, 16.0, 3.0),
        Run(OURS, 300, 4.0, 30.0, 40.0, 3.0),
    ]
    worse = INT8 | {"openvino bfloat16 x1": 0.1, "openvino bfloat16 x2": 0.5, "RED-CNN": 2.0, "WGAN-VGG": 0.2}
    assert told(worse, 0.7, slow, slow, Run(OURS, 100, 5.0, 61.0, 90.0, 2.0)) == ["**no**"] * 13 + ["–"]


def test_generated_scans_are_one_even_series(tmp_path: Path) -> None:
    runs = end_to_end.Runs(ROOT / "tests" / "data" / "lidc_idri_0001" / "quarter_dose", tmp_path)
    with find_inputs(runs._scan(18)) as inputs:
        (series,) = inputs.series
        assert series.grid.shape == (18, 512, 512)
        assert series.slice_origins_mm is None
        assert series.grid.spacing_mm[0] == pytest.approx(end_to_end.SPACING_MM)


def test_the_page_has_a_place_for_every_table() -> None:
    page = (ROOT / "docs" / "validation" / "speed.md").read_text(encoding="utf-8")
    for name in re.findall(r'^        "(\w+)":', (ROOT / "tests/benchmarks/speed.py").read_text(), re.MULTILINE):
        assert page.count(f"<!-- {name} -->") == page.count(f"<!-- /{name} -->") == 1
