"""The program as a person or another program starts it: standard streams, exit status, Ctrl-C, a closed pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phantoms import BODY, Scene, stack, write_series
from service_runs import EVENT, MANIFEST

from med_stylesr.io.publish import PARTIAL
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.volume import CTVolume

PROGRAM = [sys.executable, "-c", "from med_stylesr.cli.main import run; run()", "enhance"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series, one of them long enough to be interrupted, a volume, a text file and a damaged series."""
    root = tmp_path_factory.mktemp("cli") / "in"
    write_series(root / "short", stack(2, shape=(48, 48)), BODY)
    (broken,) = write_series(root / "broken", stack(1, shape=(32, 32)), BODY)
    broken.write_bytes(broken.read_bytes()[:-700])
    write_volume_file(CTVolume(np.zeros((2, 32, 32), np.int16), np.eye(4)), root / "v.nii.gz")
    (root / "notes.txt").write_text("no scan")
    return root


@pytest.fixture(scope="module")
def long_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "in"
    write_series(folder, stack(400, shape=(64, 64), step_mm=1.0), Scene(background_hu=40.0))
    return folder


def test_json_lines_streams_status_and_manifest_are_as_documented(source: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [*PROGRAM, source, tmp_path / "out", "--strength", "1", "--json"],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=200,
    )  # fmt: skip
    assert run.returncode == 1
    (problem,) = [line for line in run.stderr.splitlines() if "warning" not in line]
    assert "broken" in problem
    events = [json.loads(line) for line in run.stdout.splitlines()]
    for event in events:
        EVENT.validate(event)
    assert [e["event"] for e in events if e["event"] != "progress"][-1] == "end"
    assert {"scan", "skip", "start", "series", "progress", "done", "failed", "end"} == {e["event"] for e in events}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    MANIFEST.validate(manifest)
    assert manifest["counts"] == {"done": 2, "failed": 1, "skipped": 1}


def started(arguments: list[object], **streams: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **streams,
    )  # fmt: skip


def wait_until_writing(dest: Path, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not list(dest.rglob(f"{PARTIAL}*/0002.dcm")):
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_leaves_whole_outputs_only_says_one_line_and_ends_with_130(
    long_scan: Path, tmp_path: Path, jobs: int
) -> None:
    dest = tmp_path / "out"
    run = started([long_scan, dest, "--strength", "1", "--jobs", jobs], start_new_session=True)
    wait_until_writing(dest, run)
    # As a terminal does: to every process of the foreground group.
    os.killpg(run.pid, signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert told.strip().splitlines() == [
        "med-stylesr: interrupted: whole outputs were kept, unfinished ones removed; run again with --resume"
    ]
    assert [p.name for p in dest.rglob("*") if p.is_file()] == ["manifest.json"]


@pytest.mark.slow
def test_a_program_that_started_this_one_stops_it_by_closing_the_pipe(long_scan: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    run = started([long_scan, dest, "--strength", "1", "--stop-with-stdin"], stdin=subprocess.PIPE)
    wait_until_writing(dest, run)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert len(told.strip().splitlines()) == 1
    assert [p.name for p in dest.rglob("*") if p.is_file()] == ["manifest.json"]
