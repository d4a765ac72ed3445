"""A folder through a (fake) engine: every scan has its row, and stopping stops."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from MedStyleSRLib.batch_run import BatchRun, default_dest
from MedStyleSRLib.command import EnhanceRequest
from MedStyleSRLib.engine_run import CANCELLED, DONE, FAILED
from MedStyleSRLib.program import Program


def run(program: Path) -> BatchRun:
    batch = BatchRun(lambda: Program((str(program),), dict(os.environ), "test"), EnhanceRequest(), "in", "out")
    batch.start()
    return batch


def test_every_scan_has_a_row_with_what_became_of_it(fake_engine: Path, behave: Callable[[str], None]) -> None:
    behave("batch")
    batch = run(fake_engine)
    assert batch.wait(60)
    assert batch.state == DONE
    assert (batch.finished, batch.total) == (2, 2)
    assert [(row.source, row.good) for row in batch.rows] == [
        ("notes.txt", None), ("series 1", True), ("series 2", False),
    ]  # fmt: skip
    assert batch.rows[1].detail == "noise 30.0 → 12.0 HU; careful"
    assert batch.rows[2].detail == "pixels are damaged"


def test_scans_of_the_same_name_have_a_row_each_and_one_that_begins_twice_has_one() -> None:
    batch = BatchRun(lambda: None, EnhanceRequest(), "/in", "/out")
    for number in (1, 2, 1):
        batch._take({"event": "series", "source": "/in/chest/1", "number": number, "total": 2})
    assert [row.source for row in batch.rows] == ["chest/1", "chest/1"]


def test_a_run_that_is_refused_as_a_whole_says_why(fake_engine: Path, behave: Callable[[str], None]) -> None:
    behave("gpu")
    batch = run(fake_engine)
    assert batch.wait(60)
    assert batch.state == FAILED
    assert "0 CUDA devices" in str(batch.problem)


def test_a_run_that_is_stopped_at_once_never_begins(fake_engine: Path, behave: Callable[[str], None]) -> None:
    behave("batch")
    batch = run(fake_engine)
    batch.cancel()
    assert batch.wait(60)
    assert batch.state == CANCELLED


def test_results_go_beside_the_scans_and_never_inside() -> None:
    assert default_dest("/data/scans") == "/data/scans_enhanced"
