"""The engine rooms of the Slicer module need neither Slicer nor Qt: they are tested like any other code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import slicer_fake_engine

sys.path.insert(0, str(slicer_fake_engine.LIBRARY))


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that starts the fake engine; temporary files go to a folder of the test."""
    program = slicer_fake_engine.laid_out(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("FAKE_ENGINE_PIDS", str(tmp_path / "pids"))
    return program


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Tell the fake engine how to behave."""
    return lambda mode: monkeypatch.setenv("FAKE_ENGINE", mode)
