"""The array job of the cluster guide does every folder once, whatever its tasks are numbered, and tells of failures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from phantoms import BODY, stack, write_series

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "cluster.md"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None or shutil.which("awk") is None, reason="SLURM's machines have both")

RECORDING = """#!/bin/sh
cat >> "$CALLS.stdin"
printf '%s\\n' "$2 -> $3 $4" >> "$CALLS"
case "$2" in *broken*) exit 1;; esac
"""
"""Stands for the program: notes what it is asked, takes all that its standard input has, fails where it is told to."""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script as printed, but for where its results go."""
    (printed,) = [code for code in re.findall(r"```sh\n(.*?)```", GUIDE.read_text("utf-8"), re.S) if "SBATCH" in code]
    assert "/data/out/" in printed
    path = tmp_path / "job.sh"
    path.write_text(printed.replace("/data/out/", f"{tmp_path}/out/"))
    return path


def run_task(script: Path, number: int, numbers: Sequence[int], **environment: str) -> subprocess.CompletedProcess[str]:
    """One task, as SLURM starts it."""
    faked = {
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_MIN": str(min(numbers)),
        "SLURM_ARRAY_TASK_MAX": str(max(numbers)),
        "SLURM_ARRAY_TASK_COUNT": str(len(numbers)),
        "SLURM_CPUS_PER_TASK": "1",
    }
    return subprocess.run(
        [BASH or "bash", str(script)],
        cwd=script.parent,
        env=os.environ | faked | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, str]:
    """Environment in which the program is a recording one."""
    program = tmp_path / "bin" / "med-stylesr"
    program.parent.mkdir()
    program.write_text(RECORDING)
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def test_the_script_is_one_that_bash_understands(script: Path) -> None:
    run = subprocess.run([BASH or "bash", "-n", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("numbers", [range(10), range(1, 11), range(3), range(1), range(7, 9)])
def test_all_tasks_together_do_every_folder_once(
    tmp_path: Path, script: Path, recorded: dict[str, str], numbers: range
) -> None:
    folders = [f"/scans/patient {n}/" for n in range(7)] + ["/scans/ back\\slash", "/scans/*"]
    (tmp_path / "folders.txt").write_text("".join(f"{folder}\n" for folder in folders))
    for number in numbers:
        run = run_task(script, number, numbers, **recorded)
        assert (run.returncode, run.stderr) == (0, "")
    expected = [f"{folder} -> {tmp_path}/out/{Path(folder).name} --resume" for folder in folders]
    assert sorted((tmp_path / "calls").read_text().splitlines()) == sorted(expected)
    assert not (tmp_path / "calls.stdin").read_text(), "the list of folders is not for the program to read"


def test_a_folder_that_fails_stops_no_other_and_is_told(tmp_path: Path, script: Path, recorded: dict[str, str]) -> None:
    (tmp_path / "folders.txt").write_text("/scans/a\n/scans/broken\n/scans/b\n")
    assert run_task(script, 0, [0], **recorded).returncode == 1
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_task_enhances_its_folders_and_does_nothing_twice(tmp_path: Path, script: Path) -> None:
    for name in ("one", "two"):
        write_series(tmp_path / "scans" / name, stack(3, shape=(32, 32)), BODY)
    (tmp_path / "folders.txt").write_text("".join(f"{f}/\n" for f in sorted((tmp_path / "scans").iterdir())))
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = run_task(script, 1, [1, 2], **path)
    assert run.returncode == 0, run.stderr
    images = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/*/PH-1/*/*.dcm")}
    assert {p.relative_to(tmp_path / "out").parts[0] for p in images} == {"one"}
    assert len(images) == 3
    assert run_task(script, 1, [1, 2], **path).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in images} == images
