"""The private installation touches one folder, stops when told, and leaves nothing half done."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from MedStyleSRLib.private_install import Installation, installed, require_possible
from MedStyleSRLib.problems import EngineProblem


def python(tmp_path: Path, script: str) -> Path:
    """A PythonSlicer whose pip is a shell script; it may write its arguments and environment to a file."""
    path = tmp_path / "PythonSlicer"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_packages_go_to_the_folder_alone_and_the_engine_sees_them_there(tmp_path: Path) -> None:
    folder, told = tmp_path / "engine", []
    fake = python(tmp_path, f'echo "$@" > {tmp_path}/args; echo "T=$PIP_TARGET U=$PIP_USER"; echo collecting')
    environment = {**os.environ, "PIP_TARGET": "/slicer/site-packages", "PIP_USER": "1"}
    assert installed(folder, fake, environment) is None
    Installation(folder, fake, environment).run(told.append)
    arguments = (tmp_path / "args").read_text()
    assert f"-m pip install --upgrade --target {folder} --timeout" in arguments
    assert told == ["T= U=", "collecting"]
    program = installed(folder, fake, environment)
    assert program is not None
    assert program.arguments == (str(fake), "-m", "med_stylesr")
    assert program.environment["PYTHONPATH"] == str(folder)


def test_a_failed_installation_leaves_no_folder_and_says_why(tmp_path: Path) -> None:
    fake = python(tmp_path, 'echo "ERROR: Could not find a version" >&2; echo "WARNING: retry" >&2; exit 1')
    with pytest.raises(EngineProblem, match="Could not find a version; check the network and its proxy"):
        Installation(tmp_path / "engine", fake, dict(os.environ)).run(print)
    assert not (tmp_path / "engine").exists()


def test_a_stopped_installation_leaves_no_folder(tmp_path: Path) -> None:
    fake = python(tmp_path, "echo begun; sleep 600")
    installation = Installation(tmp_path / "engine", fake, dict(os.environ))
    begun = threading.Event()

    def stop() -> None:
        begun.wait(30)
        time.sleep(0.05)
        installation.stop()

    threading.Thread(target=stop).start()
    with pytest.raises(EngineProblem, match="cancelled; nothing was installed"):
        installation.run(lambda line: begun.set())
    assert not (tmp_path / "engine").exists()


@pytest.mark.parametrize(
    ("python", "version", "system", "machine", "told"),
    [
        (None, (3, 12), "Linux", "x86_64", "PythonSlicer was not found"),
        ("p", (3, 9), "Linux", "x86_64", "is 3.9, the engine needs 3.10"),
        ("p", (3, 12), "Darwin", "x86_64", "Intel"),
    ],
)
def test_where_it_cannot_work_another_python_is_named_as_the_way_out(
    python: str | None, version: tuple[int, int], system: str, machine: str, told: str
) -> None:
    with pytest.raises(EngineProblem, match=told + ".*install med-stylesr in another Python"):
        require_possible(python, version, system, machine)
    require_possible("p", (3, 12), "Darwin", "arm64")
