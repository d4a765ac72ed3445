"""The engine is found where people have it, and what is not the engine is told apart in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from MedStyleSRLib.problems import ProgramProblem
from MedStyleSRLib.program import VARIABLE, Program, find_program

NOWHERE = "/nowhere/MedStyleSR.py"


def program_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_what_was_chosen_comes_before_the_variable_before_the_surroundings_before_the_path(tmp_path: Path) -> None:
    chosen = program_at(tmp_path / "chosen" / "med-stylesr")
    variable = program_at(tmp_path / "variable" / "med-stylesr")
    around = program_at(tmp_path / "env" / "bin" / "med-stylesr")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    module = tmp_path / "env" / "lib" / "site-packages" / "med_stylesr" / "slicer" / "MedStyleSR" / "MedStyleSR.py"
    on_path = program_at(tmp_path / "path" / "med-stylesr")
    environment = {VARIABLE: str(variable), "PATH": str(on_path.parent), "HOME": str(tmp_path)}
    for place in (chosen, variable, around, on_path):
        found = find_program(str(chosen) if chosen.exists() else "", environment, module)
        assert found.arguments == (str(place),)
        place.unlink()
        environment.pop(VARIABLE, None) if place == variable else None


def test_a_checkout_s_own_environment_is_found_around_the_module(tmp_path: Path) -> None:
    program = program_at(tmp_path / "checkout" / ".venv" / "bin" / "med-stylesr")
    (tmp_path / "checkout" / ".venv" / "pyvenv.cfg").touch()
    module = tmp_path / "checkout" / "med_stylesr" / "slicer" / "MedStyleSR" / "MedStyleSR.py"
    assert find_program("", {"PATH": ""}, module).arguments == (str(program),)


def test_a_python_or_the_folder_of_an_environment_may_be_chosen_too(tmp_path: Path) -> None:
    python = program_at(tmp_path / "env" / "bin" / "python3.12")
    program = program_at(tmp_path / "env" / "bin" / "med-stylesr")
    assert find_program(str(python), {}, NOWHERE).arguments == (str(python), "-m", "med_stylesr")
    assert find_program(str(tmp_path / "env"), {}, NOWHERE).arguments == (str(program),)
    with pytest.raises(ProgramProblem, match=r"holds no med-stylesr program; run: .*pip install med-stylesr"):
        find_program(str(tmp_path), {}, NOWHERE)
    with pytest.raises(ProgramProblem, match="does not exist; choose"):
        find_program(str(tmp_path / "gone"), {}, NOWHERE)


def test_without_any_the_private_one_is_taken_or_the_way_to_one_is_told(tmp_path: Path) -> None:
    private = Program(("PythonSlicer", "-m", "med_stylesr"), {}, "Slicer's Python")
    assert find_program("", {"PATH": str(tmp_path)}, NOWHERE, private) is private
    with pytest.raises(ProgramProblem, match="was not found; install it"):
        find_program("", {"PATH": str(tmp_path)}, NOWHERE)


def test_slicer_s_python_variables_do_not_reach_another_python(tmp_path: Path) -> None:
    program = program_at(tmp_path / "med-stylesr")
    environment = {"PYTHONHOME": "/slicer", "PYTHONPATH": "/slicer", "LANG": "C"}
    assert find_program(str(program), environment, NOWHERE).environment == {"LANG": "C"}


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("old", "is version 0.0.9, this module needs 0.1.0 or newer; run: pip install --upgrade"),
        ("other", r"is not med-stylesr \(fortune 1.0\)"),
    ],
)
def test_a_wrong_program_or_version_is_told(
    fake_engine: Path, behave: Callable[[str], None], mode: str, told: str
) -> None:
    behave(mode)
    with pytest.raises(ProgramProblem, match=told):
        Program((str(fake_engine),), dict(os.environ), "test").version()


def test_the_right_program_tells_its_version(fake_engine: Path) -> None:
    assert Program((str(fake_engine),), dict(os.environ), "test").version() == "0.1.0"


def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no program")
    with pytest.raises(ProgramProblem, match=r"cannot be started \(Permission denied\); choose"):
        Program((str(tmp_path / "notes.txt"),), dict(os.environ), "test").version()
    with pytest.raises(ProgramProblem, match=r"No module named med_stylesr_of_another"):
        Program((sys.executable, "-m", "med_stylesr_of_another"), dict(os.environ), "test").version()
