"""The real program on a folder of all kinds of hostile input at once: one line each, nothing else, exit status 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_dicom
import hostile_trees
import hostile_volumes
import pytest
from phantoms import BODY, stack, write_series
from service_runs import MANIFEST

PROGRAM = [sys.executable, "-c", "from med_stylesr.cli.main import run; run()", "enhance"]
ENDLESS = ("index of ten thousand files", "zip bomb")
"""Kinds that are tested by themselves and would only make this one long."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_program_tells_each_of_all_kinds_in_one_line_and_does_the_good_one(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for number, (kind, build) in enumerate(
        {**hostile_dicom.cases(), **hostile_volumes.cases(), **hostile_trees.cases()}.items()
    ):
        if number % 5 and kind not in ENDLESS:
            folder = source / f"{number:03d}"
            folder.mkdir(parents=True)
            build(folder)
    write_series(source / "good", stack(2, shape=(32, 32)), BODY)
    run = subprocess.run(
        [*PROGRAM, str(source), str(tmp_path / "out"), "--strength", "0", "--no-report"],
        capture_output=True, timeout=1000, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 1
    lines = run.stderr.decode("utf-8", "backslashreplace").splitlines()
    assert len(lines) > 150
    for line in lines:
        assert line.startswith("med-stylesr: "), line
        assert line.isprintable(), line
        assert "internal error" not in line
        assert "Traceback" not in line
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    MANIFEST.validate(manifest)
    assert not [entry for entry in manifest["series"] if entry["status"] == "running" or entry["quarantined"]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
