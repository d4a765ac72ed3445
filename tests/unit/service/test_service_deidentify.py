"""Nothing that was not read back stays in DEST, however a run ends, and no run meddles with another's files."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from deid_tokens import Tokens, nifti_with_tokens, plain_slice, written

from med_stylesr.errors import UsageError
from med_stylesr.service import lock
from med_stylesr.service.deidentify import DeidentifyJob, run_deidentify

pytestmark = pytest.mark.filterwarnings("ignore")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))

    def run(events: Callable[[Mapping[str, Any]], None] = lambda event: None, **settings: Any) -> dict[str, Any]:
        job = DeidentifyJob(
            **{
                "source": tmp_path / "in", "dest": tmp_path / "out", "profile": "basic", "key_file": tmp_path / "key",
                "mapping_csv": None, "jobs": 1, "dry_run": False, "overwrite": True,
            }
            | settings
        )  # fmt: skip
        return run_deidentify(job, events)

    return run


def leave_behind(dest: pathlib.Path) -> list[pathlib.Path]:
    """What a killed process leaves: a file of a series, a volume and an audit; and a stranger's file."""
    left = [
        dest / "P1" / "2.25.1" / ".partial-4711-2.25.2.dcm",
        dest / ".partial-4711-V1.nii",
        dest / ".partial-4711-deidentify-audit.json",
    ]
    left[0].parent.mkdir(parents=True, exist_ok=True)
    for path in (*left, dest / "P1" / "notes.txt"):
        path.write_text("not read back")
    return left


def test_what_a_killed_run_left_is_removed_by_the_next(run: Run, tmp_path: pathlib.Path) -> None:
    left = leave_behind(tmp_path / "out")
    assert run()["files"]["written"] == 1
    assert not any(path.exists() for path in left)
    assert (tmp_path / "out" / "P1" / "notes.txt").read_text() == "not read back"


def test_what_a_worker_that_died_left_is_removed_by_its_own_run(run: Run, tmp_path: pathlib.Path) -> None:
    left: list[pathlib.Path] = []

    def begin(event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            left.extend(leave_behind(tmp_path / "out"))

    assert run(begin)["files"]["written"] == 1
    assert left
    assert not any(path.exists() for path in left)


def test_a_dry_run_removes_nothing(run: Run, tmp_path: pathlib.Path) -> None:
    left = leave_behind(tmp_path / "out")
    run(dry_run=True)
    assert all(path.exists() for path in left)


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_no_run_removes_what_another_is_writing(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock.sole_use.__wrapped__, "__defaults__", (0.2,))
    left = leave_behind(tmp_path / "out")
    with lock.sole_use(tmp_path / "out"), pytest.raises(UsageError, match="another run is at work"):
        run()
    assert all(path.exists() for path in left)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_workers_of_a_killed_run_end_and_the_next_run_cleans_up(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice(2048)))
    dest = tmp_path / "out"
    command = [sys.executable, "-m", "med_stylesr", "deidentify", str(tmp_path / "in"), str(dest), "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(dest.rglob(".partial-*.dcm")):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    with lock.sole_use(dest, 20):
        left = list(dest.rglob("*.dcm"))
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))
    assert run()["files"]["written"] == 1
    assert not list(dest.rglob(".partial-*"))
    assert all(not path.exists() for path in left if path.name.startswith(".partial-"))


def test_holding_a_volume_back_leaves_dest_itself(run: Run, tmp_path: pathlib.Path) -> None:
    held_back = plain_slice()
    held_back.BurnedInAnnotation = "YES"
    (tmp_path / "in" / "a.dcm").write_bytes(written(held_back))
    volume = bytearray(nifti_with_tokens(Tokens()))
    at = volume.index(np.arange(64, dtype="<i2").tobytes())
    volume[at : at + 10] = held_back.PatientID.encode()
    (tmp_path / "in" / "v.nii").write_bytes(volume)
    assert run()["verification"]["passed"] is False
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deidentify-audit.json"]
