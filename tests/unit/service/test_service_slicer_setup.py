"""The module is added to Slicer's settings as Slicer itself would, and nothing else in them changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from med_stylesr.errors import UsageError
from med_stylesr.service.slicer_setup import (
    BACKUP,
    add_module,
    listed_paths,
    module_folder,
    module_scripts_missing,
    settings_files,
)

MODULE = Path("/opt/env/lib/python3.12/site-packages/med_stylesr/slicer/MedStyleSR")
SETTINGS = (
    "[General]\nrestoreGeometry=true\n\n"
    '[Modules]\nFavoriteModules=Data\nAdditionalPaths=<APPLICATION_HOME_DIR>/a, "/with, comma/b"\n\n'
    "[Extensions]\nAdditionalPaths=/not/ours\n"
)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "Slicer-34045.ini"
    path.write_text(SETTINGS)
    return path


def test_the_folder_joins_the_list_and_everything_else_stays_as_it_was(settings: Path) -> None:
    assert add_module(settings, MODULE)
    assert listed_paths(settings) == ["<APPLICATION_HOME_DIR>/a", '"/with, comma/b"', str(MODULE)]
    added = [line for line in settings.read_text().splitlines() if line not in SETTINGS.splitlines()]
    assert added == [f'AdditionalPaths=<APPLICATION_HOME_DIR>/a, "/with, comma/b", {MODULE}']
    assert settings.with_name(settings.name + BACKUP).read_text() == SETTINGS


def test_a_second_time_changes_nothing_and_another_installation_takes_the_first_one_s_place(settings: Path) -> None:
    add_module(settings, MODULE)
    before = settings.read_text()
    assert not add_module(settings, MODULE)
    assert settings.read_text() == before
    moved = Path("/home/me/env/lib/site-packages/med_stylesr/slicer/MedStyleSR")
    assert add_module(settings, moved)
    assert listed_paths(settings)[2:] == [str(moved)]


@pytest.mark.parametrize(
    "content", ["", "[General]\na=1\n", "[Modules]\nb=2\n", "[Modules]\nAdditionalPaths=@Invalid()\n"]
)
def test_settings_without_a_list_get_one_in_its_group(tmp_path: Path, content: str) -> None:
    path = tmp_path / "Slicer-1.ini"
    path.write_text(content)
    assert add_module(path, MODULE)
    assert listed_paths(path) == [str(MODULE)]
    assert path.read_text().count("[Modules]") == 1


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    path = tmp_path / "Slicer-1.ini"
    path.write_bytes(b"[General]\nlast=\xff\xfe\n[Modules]\nx=1\n")
    add_module(path, MODULE)
    assert b"last=\xff\xfe\n" in path.read_bytes()


def test_a_name_that_qt_would_quote_is_left_to_the_user(settings: Path) -> None:
    with pytest.raises(UsageError, match="Additional module paths"):
        add_module(settings, Path("/home/jürgen/med_stylesr/slicer/MedStyleSR"))
    assert settings.read_text() == SETTINGS


@pytest.mark.skipif(sys.platform == "win32", reason="other folders")
def test_the_settings_of_every_slicer_are_found(tmp_path: Path) -> None:
    for name in ("slicer.org/Slicer-34045.ini", "NA-MIC/Slicer-31382.ini", "slicer.org/Slicer.ini"):
        (tmp_path / ".config" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".config" / name).touch()
    assert {path.name for path in settings_files({}, tmp_path)} == {"Slicer-34045.ini", "Slicer-31382.ini"}


def test_the_module_comes_whole_with_this_installation() -> None:
    assert module_scripts_missing(module_folder()) == []


def test_the_verb_answers_without_torch_and_tells_what_is_missing_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['med-stylesr', 'slicer', *sys.argv[1:]]\n"
        "from med_stylesr.cli.main import run\n"
        "try: run()\nfinally: print('heavy:', sorted({'torch', 'monai', 'numpy'} & set(sys.modules)))"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(tmp_path), "PATH": ""}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=60
        )

    there = run("path")
    assert there.stdout.splitlines() == [str(module_folder()), "heavy: []"]
    refused = run("install")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "start Slicer once" in refused.stderr
