"""A stopped engine is gone with all its children, and none outlives it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from MedStyleSRLib.process import KEPT_ERRORS, ProcessGroup
from slicer_fake_engine import alive

PARENT = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
if "leave" in sys.argv:
    sys.exit(3)
if "polite" in sys.argv:
    sys.stdin.read()
    child.kill()
    sys.exit(130)
time.sleep(600)
"""


def started(tmp_path: Path, *how: str) -> tuple[ProcessGroup, int]:
    process = ProcessGroup([sys.executable, "-c", PARENT, *how], dict(os.environ), str(tmp_path))
    return process, int(next(process.lines()))


def gone(*pids: int) -> bool:
    until = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(alive(pid) for pid in pids)


def test_a_program_that_does_not_want_to_stop_is_ended_with_its_children(tmp_path: Path) -> None:
    process, child = started(tmp_path, "stubborn")
    begun = time.monotonic()
    process.stop(grace_s=0.1)
    assert time.monotonic() - begun < 0.1
    assert process.finish() == -9
    assert gone(process.pid, child)


def test_a_program_that_stops_with_its_standard_input_may_clean_up(tmp_path: Path) -> None:
    process, child = started(tmp_path, "polite")
    process.stop(grace_s=20)
    assert process.finish() == 130
    assert gone(process.pid, child)


def test_children_that_outlive_the_program_are_ended_and_do_not_hold_up_the_end(tmp_path: Path) -> None:
    process, child = started(tmp_path, "leave")
    assert list(process.lines()) == []
    assert process.finish() == 3
    assert gone(process.pid, child)


def test_of_a_flood_of_errors_the_last_lines_are_kept_and_nothing_blocks(tmp_path: Path) -> None:
    flood = "import sys\nfor i in range(20000): print('x' * 50, i, file=sys.stderr)\nprint('end')"
    process = ProcessGroup([sys.executable, "-c", flood], dict(os.environ), str(tmp_path))
    assert list(process.lines()) == ["end"]
    assert process.finish() == 0
    assert len(process.errors) == KEPT_ERRORS
    assert process.errors[-1].endswith("19999")


def test_a_program_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        ProcessGroup(["/no-such-program"], dict(os.environ), str(tmp_path))


def test_the_real_program_ends_with_its_own_status_and_word_while_its_input_is_held_open(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "med_stylesr", "enhance", "no-such-scan", "out", "--json", "--stop-with-stdin"]
    process = ProcessGroup(arguments, dict(os.environ), str(tmp_path))
    assert list(process.lines()) == []
    assert process.finish() == 2
    assert list(process.errors) == ["med-stylesr: no-such-scan: does not exist; check SOURCE"]
