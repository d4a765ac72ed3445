"""Killed at any moment, a run is completed by --resume to the very bytes that an undisturbed one leaves.

The moments are the program's own dealings with files: a forked child kills itself (SIGKILL, nothing is cleaned up) just
before the n-th of them, for every n.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import BODY, stack, write_series
from service_runs import settled, tree_hash

from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.service import worker_main
from med_stylesr.service.batch import EPOCH_VARIABLE
from med_stylesr.volume import CTVolume

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
DEALINGS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.rmtree")


def killed_before(dealing: int, dest: Path, run: Any) -> bool:
    """Whether the run was killed before its n-th dealing with a file in DEST, or ended before."""
    child = os.fork()
    if child == 0:
        left = [dealing]

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            if event in DEALINGS and arguments and str(dest) in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            run()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(EPOCH_VARIABLE, "1700000000")
    for name in "ab":
        write_series(tmp_path / "in" / name, stack(2, shape=(32, 32)), BODY)
    (tmp_path / "in" / "notes.txt").write_text("no scan")
    write_volume_file(CTVolume(np.zeros((2, 32, 32), np.int16), np.eye(4)), tmp_path / "in" / "v.nii.gz")
    return tmp_path / "in"


def test_a_run_killed_at_any_moment_is_resumed_to_the_same_bytes(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source, tmp_path / "whole")
    whole, given = settled(tmp_path / "whole"), tree_hash(source)
    kills, begun_again = 0, 0
    for dealing in range(1000):
        dest = tmp_path / f"out{dealing}"
        if not killed_before(dealing, dest, lambda dest=dest: enhance(source, dest)):
            break
        kills += 1
        run = enhance(source, dest, resume=True)
        assert run.status == 0
        assert settled(dest) == whole, dealing
        begun_again += len(run.event("done"))
    assert kills > 30
    assert begun_again < 3 * kills, "what had appeared was not done again"
    assert tree_hash(source) == given


def test_resuming_may_itself_be_killed_again_and_again(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source, tmp_path / "whole")
    for first in (5, 30, 55):
        dest = tmp_path / f"out{first}"
        killed_before(first, dest, lambda dest=dest: enhance(source, dest))
        for again in range(1, 40, 5):
            killed_before(again, dest, lambda dest=dest: enhance(source, dest, resume=True))
        assert enhance(source, dest, resume=True).status == 0
        assert settled(dest) == settled(tmp_path / "whole")


def test_replacing_results_may_be_killed_and_leaves_old_or_new_ones(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source, tmp_path / "whole")
    whole = settled(tmp_path / "whole")
    dest = tmp_path / "out"
    enhance(source, dest)
    places = [
        place for entry in json.loads((dest / "manifest.json").read_text())["series"] for place in entry["outputs"]
    ]
    for dealing in range(0, 1000, 4):
        if not killed_before(dealing, dest, lambda: enhance(source, dest, overwrite=True)):
            break
        assert enhance(source, dest, overwrite=True).status == 0
        hidden = {name for name in tree_hash(dest) if "/." in f"/{name}"}
        assert not hidden
        assert all((dest / place).exists() for place in places)
        now = settled(dest)
        now["manifest.json"]["arguments"]["overwrite"] = False
        assert now == whole


def test_a_resumed_run_dates_what_it_does_as_the_one_that_planned_it(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "out"
    for dealing in range(12, 100):
        if (dest / "manifest.json").exists():
            break
        killed_before(dealing, dest, lambda: enhance(source, dest))
    planned = {e["created"] for e in json.loads((dest / "manifest.json").read_text())["series"] if e["fingerprint"]}
    monkeypatch.setenv(EPOCH_VARIABLE, "1800000000")
    run = enhance(source, dest, resume=True)
    assert {entry["created"] for entry in run.entries("done")} == planned == {"2023-11-14T22:13:20+00:00"}


def test_two_runs_never_work_in_one_place_at_once(tmp_path: Path, source: Path, enhance: Any, monkeypatch: Any) -> None:
    from med_stylesr.errors import UsageError
    from med_stylesr.service import lock

    monkeypatch.setattr(lock.sole_use.__wrapped__, "__defaults__", (0.2,))
    with lock.sole_use(tmp_path / "out"), pytest.raises(UsageError, match="another run is at work"):
        enhance(source, tmp_path / "out")
    assert enhance(source, tmp_path / "out").status == 0


def test_what_an_interruption_spoilt_unnoticed_does_not_pass_for_the_result(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code may swallow the KeyboardInterrupt by which a worker is told to stop, and fail for no reason."""

    def interrupted_report(*arguments: Any) -> list[str]:
        with suppress(KeyboardInterrupt):
            worker_main._interrupt(signal.SIGTERM, None)
        return ["no report was written (SystemError: returned a result with an exception set)"]

    dest = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(worker_main, "_stopped", threading.Event())
        patch.setattr("med_stylesr.service.jobs.write_report", interrupted_report)
        with pytest.raises(KeyboardInterrupt):
            enhance(source, dest, report=True)
    assert not [place for place in tree_hash(dest) if place != "manifest.json"]
    assert all(entry["status"] != "done" for entry in json.loads((dest / "manifest.json").read_text())["series"])
    run = enhance(source, dest, report=True, resume=True)
    assert run.status == 0
    assert all(place.with_name(f"{place.name}.html").exists() for place in run.outputs if place.suffix != ".html")
