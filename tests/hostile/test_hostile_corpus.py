"""Hundreds of kinds of broken and hostile input through the main job: nothing is harmed, everything named in one line.

Each kind lies in a folder of its own beside a good series. Whatever it is, the good series is done, no file of the
source changes, nothing appears outside DEST or half, nothing is printed by a library, no memory balloons, and each
failure is one line that says what to do.
"""

from __future__ import annotations

import hashlib
import os
import resource
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import hostile_dicom
import hostile_trees
import hostile_volumes
import numpy as np
import pytest
from phantoms import BODY, stack, write_series

from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file
from med_stylesr.service.batch import run_batch
from med_stylesr.service.settings import EnhanceSettings

CASES = {**hostile_dicom.cases(), **hostile_volumes.cases(), **hostile_trees.cases()}
SECONDS = 30
"""Far more than any takes on a quiet machine, far less than a hang."""
MEMORY_KB = 700_000
SETTINGS = EnhanceSettings(
    EnhanceOptions(request=StrengthRequest(0.0)), None, BUNDLE_2D, "cpu", "auto", None, None, False, False, 1
)


@pytest.fixture(scope="session")
def enhancer() -> Enhancer:
    return Enhancer(BUNDLE_2D, "cpu")


@pytest.fixture(autouse=True)
def _loaded(enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("med_stylesr.service.workers.load_enhancer", lambda settings: enhancer)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def state(root: Path) -> dict[str, str]:
    """Every name below a folder with what it is and holds; links are not followed."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            what = os.readlink(path) if stat.S_ISLNK(mode) else ""
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    what = hashlib.sha256(file.read()).hexdigest()
            found[os.path.relpath(path, root)] = f"{mode:o} {what}"
    return found


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if k % 3 else []) for k, kind in enumerate(CASES)]
)
def test_hostile_input_harms_nothing_and_is_named(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, dest = tmp_path / "in", tmp_path / "out"
    (source / "hostile").mkdir(parents=True)
    CASES[kind](source / "hostile")
    write_series(source / "the good one", stack(2, shape=(32, 32)), BODY)
    given, around = state(source), sorted(p.name for p in tmp_path.iterdir())
    memory, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    events: list[dict[str, Any]] = []
    manifest = run_batch(source, dest, SETTINGS, jobs=1, resume=False, events=lambda event: events.append(dict(event)))
    assert time.monotonic() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEMORY_KB
    assert state(source) == given
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*around, "out"])
    assert not list((tmp_path / "tmp").iterdir())
    assert not Path("/tmp/evil").exists()
    assert not Path("/tmp/evil.dcm").exists()
    assert capfd.readouterr() == ("", "")
    _check_named(manifest.entries, source)
    _check_outputs(manifest.entries, dest)


def _check_named(entries: list[Any], source: Path) -> None:
    good, *others = sorted(entries, key=lambda e: not (e.status == "done" and e.facts["shape"] == [2, 32, 32]))
    assert good.status == "done"
    regular = [p for p in (source / "hostile").rglob("*") if p.is_file() and not p.is_symlink()]
    assert others or not regular, "an input vanished without a word"
    for entry in others:
        assert entry.status in ("done", "failed", "skipped")
        if entry.status != "done":
            assert entry.reason
            assert len(entry.reason) < 900
        for text in (entry.reason, *entry.warnings):
            assert "Traceback" not in text
            assert "internal error" not in text, text


def _check_outputs(entries: list[Any], dest: Path) -> None:
    there = {p for p in dest.rglob("*") if p.is_file()} - {dest / "manifest.json"}
    named = {dest / place for entry in entries for place in entry.outputs}
    assert all(dest in place.resolve().parents for place in (*there, *named))
    assert all(path in named or path.parent in named for path in there), "output that no entry names"
    assert not list(dest.rglob(".*"))
    for place in named:
        if place.is_dir():
            with find_inputs(place) as inputs:
                assert not inputs.skipped
                (series,) = inputs.series
                hu = read_volume(series).hu
        else:
            hu = read_volume_file(place).hu
        assert np.isfinite(hu).all()
