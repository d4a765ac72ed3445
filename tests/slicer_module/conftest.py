"""Tests of the Slicer module on Slicer's own scene (package slicer-core) and PySide6 without a display.

The application itself is not here: what it adds is stood in for by `slicer_application` and `pythonqt`. This folder
must not be called `slicer`: the package of that name adopts every folder of its name on the path.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer_fake_engine

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

if importlib.util.find_spec("slicer_core") is None or importlib.util.find_spec("PySide6") is None:
    # The extra `slicer` is not installed.
    collect_ignore_glob = ["test_*"]
else:
    sys.path[:0] = [str(slicer_fake_engine.LIBRARY), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Slicer's package with what the application adds to it; one for all tests, like the application."""
    import slicer
    import slicer_application

    slicer_application.install(tmp_path_factory.mktemp("settings"))
    return slicer


@pytest.fixture
def scene(application: Any) -> Iterator[Any]:
    """The empty scene, without the views of other tests, which count as singletons."""
    application.mrmlScene.Clear(True)
    yield application.mrmlScene
    application.mrmlScene.Clear(True)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, application: Any) -> Callable[[str], None]:
    """The fake engine, chosen in the settings; call it to say how it is to behave."""
    import qt

    program = slicer_fake_engine.laid_out(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("FAKE_ENGINE", "fine")
    monkeypatch.setenv("FAKE_ENGINE_PIDS", str(tmp_path / "pids"))
    qt.QSettings().setValue("MedStyleSR/Program", str(program))
    qt.QSettings().setValue("MedStyleSR/Device", "auto")
    return lambda mode: monkeypatch.setenv("FAKE_ENGINE", mode)


@pytest.fixture
def panel(scene: Any, engine: Any) -> Iterator[Any]:
    """The module's panel, shown."""
    import MedStyleSR
    import qt
    import slicer

    parent = slicer.qMRMLWidget()
    parent.setLayout(qt.QVBoxLayout())
    widget = MedStyleSR.MedStyleSRWidget(parent)
    widget.setup()
    parent.resize(460, 860)
    parent.show()
    slicer.app.processEvents()
    yield widget
    widget.cleanup()
    for selector in (widget.ui.inputSelector, widget.ui.outputSelector, widget.ui.roiSelector):
        selector.setMRMLScene(None)
    parent.close()
    parent.deleteLater()
    slicer.app.processEvents()


@pytest.fixture
def until(application: Any) -> Callable[..., None]:
    """Let the GUI live until something is so."""

    def wait(fact: Callable[[], Any], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not fact():
            assert time.monotonic() < end, "it did not happen"
            application.app.processEvents()
            time.sleep(0.005)

    return wait
