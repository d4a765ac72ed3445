"""`enhance --multiframe` as a person starts it: killed and resumed to the same bytes, refusals of one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
from dicom_judges import errors_of
from phantoms import BODY, stack, write_series
from service_runs import settled

from med_stylesr.io.publish import PARTIAL

PROGRAM = [sys.executable, "-c", "from med_stylesr.cli.main import run; run()", "enhance"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "1700000000"}
OPTIONS = ["--multiframe", "--transfer-syntax", "jpeg-ls", "--strength", "1", "--no-report"]


def start(*arguments: object) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*PROGRAM, *map(str, arguments), *OPTIONS], env=ENVIRONMENT, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_a_run_killed_between_two_frames_is_resumed_to_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    write_series(tmp_path / "in", stack(120, shape=(64, 64), step_mm=1.0), BODY)
    killed, whole = tmp_path / "out", tmp_path / "whole"
    run = start(tmp_path / "in", killed, "--no-isolate")
    deadline = time.monotonic() + 120
    while not list(killed.rglob(f"{PARTIAL}frames")):
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.kill()
    run.communicate(timeout=60)
    assert not list(killed.rglob("*.dcm"))
    for arguments in ((killed, "--resume"), (whole,)):
        again = start(tmp_path / "in", *arguments)
        assert (again.communicate(timeout=250)[1].count("Traceback"), again.returncode) == (0, 0)
    left, undisturbed = settled(killed), settled(whole)
    (file,) = killed.rglob("*.dcm")
    assert left == undisturbed
    assert pydicom.dcmread(file, stop_before_pixels=True).NumberOfFrames == 120
    assert errors_of(file) == []
    assert not list(killed.rglob(f"{PARTIAL}*"))


@pytest.mark.parametrize("wrong", [["--transfer-syntax", "deflated"], ["--format", "nifti"]])
def test_what_cannot_be_one_image_is_one_line_and_status_2(tmp_path: Path, wrong: list[str]) -> None:
    write_series(tmp_path / "in", stack(1, shape=(32, 32)), BODY)
    arguments = [*PROGRAM, str(tmp_path / "in"), str(tmp_path / "out"), "--multiframe", *wrong]
    run = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False)
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1
    assert "multiframe" in run.stderr
    assert not (tmp_path / "out").exists()
