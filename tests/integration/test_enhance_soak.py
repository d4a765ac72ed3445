"""Hundreds of scans in one run: memory of the program and of its worker stays where it was after the first few."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from phantoms import GRADIENT, stack, write_series

SCANS = 220
PROGRAM = [sys.executable, "-c", "from med_stylesr.cli.main import run; run()", "enhance"]


def resident_mb(process: int) -> float:
    resident, shared = Path(f"/proc/{process}/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 1e6


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read from /proc")
def test_memory_is_flat_in_the_number_of_scans(tmp_path: Path) -> None:
    for number in range(SCANS):
        write_series(tmp_path / "in" / f"s{number}", stack(4, shape=(64, 64)), GRADIENT, PatientID=f"P{number}")
    run = subprocess.Popen(
        [*PROGRAM, str(tmp_path / "in"), str(tmp_path / "out"), "--strength", "1", "--no-report", "--json"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert run.stdout is not None
    own, workers = [], []
    for line in run.stdout:
        if json.loads(line)["event"] == "done":
            own.append(resident_mb(run.pid))
            workers.append(max(resident_mb(child) for child in children(run.pid)))
    assert run.wait(timeout=60) == 0
    assert len(own) == SCANS
    early, late = slice(SCANS // 8, SCANS // 4), slice(-SCANS // 8, None)
    figures = {"program": own, "worker": workers}
    for name, megabytes in figures.items():
        print(f"{name}: {np.median(megabytes[early]):.0f} MB early, {np.median(megabytes[late]):.0f} MB late")
        assert np.median(megabytes[late]) - np.median(megabytes[early]) < 25, name
