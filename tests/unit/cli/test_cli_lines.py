"""What is told on the screen: one line, names in it as they are, and what to do as the verb offers it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from med_stylesr.cli import main
from med_stylesr.cli.lines import place_line
from med_stylesr.cli.progress import reporter
from med_stylesr.errors import InputError, UsageError, one_line


@pytest.mark.parametrize(
    "name", ["胸\u3000部", "a\u00a0b", "two  spaces", "é ٣", "می\u200cخواهم", "\U0001f468\u200d\U0001f469"]
)
def test_names_stay_as_they_are_to_be_copied(name: str) -> None:
    assert one_line(f"/scans/{name}/x: broken") == f"/scans/{name}/x: broken"
    assert name in str(UsageError(f"/scans/{name}", "does not exist"))


@pytest.mark.parametrize("forged", ["a\nmed-stylesr: b", "a\r\n  b", "a\x1b[2Kb", "a\u2028b", "a\u202eb", "a\x85b"])
def test_no_name_breaks_the_line_or_turns_it(forged: str) -> None:
    line = one_line(forged)
    assert line.startswith("a ")
    assert len(line.splitlines()) == 1
    assert not any(c in line for c in "\n\r\x1b\u2028\u202e\x85")


def test_a_long_line_is_cut() -> None:
    assert len(one_line("a" * 10_000)) == 400


def test_events_tell_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with reporter(as_json=False) as events:
        events({"event": "series", "number": 1, "total": 1, "source": "胸\u3000部.nii"})
        events({"event": "failed", "number": 1, "source": "胸\u3000部.nii", "reason": "is broken"})
    out, err = capsys.readouterr()
    assert "胸\u3000部.nii" in out
    assert "胸\u3000部.nii" in err


@pytest.mark.parametrize(("failed", "more"), [(20, ""), (23, "… and 3 more")])
def test_a_cut_list_of_problems_says_how_many_are_left(
    capsys: pytest.CaptureFixture[str], failed: int, more: str
) -> None:
    with reporter(as_json=False) as events:
        for number in range(failed):
            events({"event": "failed", "number": number, "source": f"s{number}", "reason": "is broken"})
        events({"event": "skip", "source": "notes.txt", "reason": "is no scan", "problem": False})
        events({"event": "end", "manifest": "manifest.json"})
    last = capsys.readouterr().out.splitlines()[-1].strip()
    assert last == (more or "s19: is broken")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["med-stylesr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.run()
    return int(stop.value.code or 0)


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["enhance", LONG, "out"],
        ["enhance", "in", LONG],
        ["enhance", "in", "out", "--bundle", f"./{LONG}"],
        ["simulate", "in", LONG, "--dose", "0.5"],
        ["deidentify", LONG, "out"],
        ["deidentify", "in", LONG],
        ["evaluate", "in", "in", "--out", LONG],
        ["view", LONG, "in"],
        ["lesions", "in", "--out", LONG],
    ],
)
def test_a_name_that_is_too_long_is_one_line_and_no_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("File name too long; choose another path")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "in", "in", "--out", "closed/out"],
        ["view", "in", "in", "--out", "closed/view.html"],
        ["lesions", "in", "--out", "closed"],
        ["deidentify", "in", "closed/out"],
        ["simulate", "in", "closed/out", "--dose", "0.5"],
    ],
)
def test_a_place_without_the_right_to_write_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    for name in ("in", "closed"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    asked = os.access

    def access(path: str | Path, mode: int, **how: bool) -> bool:
        return not ("closed" in str(path) and mode & os.W_OK) and asked(path, mode, **how)

    monkeypatch.setattr(os, "access", access)
    assert run(monkeypatch, *arguments) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "cannot be written to" in line


def test_a_folder_is_never_replaced_by_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "kept").touch()
    assert run(monkeypatch, "view", tmp_path, tmp_path, "--out", tmp_path / "results", "--overwrite") == 2
    assert "is a folder" in capfd.readouterr().err
    assert (tmp_path / "results" / "kept").exists()


def test_only_files_of_the_user_are_told_as_a_choice_of_path() -> None:
    assert place_line(PermissionError(13, "Permission denied", "/scans/a")) == (
        "/scans/a: Permission denied; choose another path"
    )
    assert "make room" in place_line(OSError(28, "No space left on device"))
    own = str(Path(main.__file__).with_name("absent.json"))
    for internal in (FileNotFoundError(2, "No such file or directory", own), OSError("broken"), ValueError("x")):
        assert not place_line(internal)


@pytest.mark.parametrize(
    ("verb", "offered"), [("enhance", True), ("simulate", True), ("view", False), ("deidentify", False)]
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("x", "full", "then run again with --resume")])
def test_resuming_is_advised_where_the_verb_can(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    verb: str,
    offered: bool,
    error: BaseException,
) -> None:
    def broken(**options: object) -> None:
        raise error

    monkeypatch.setattr(main, "app", _With(main.app, broken))
    assert run(monkeypatch, verb, "enhance", "simulate") in (1, 130)
    line = capfd.readouterr().err.strip()
    assert "run again" in line
    assert ("--resume" in line) is offered


class _With:
    """The program with another thing to do."""

    def __init__(self, app: object, does: object) -> None:
        self._does = does
        self.registered_commands = app.registered_commands  # type: ignore[attr-defined]

    def __call__(self, **options: object) -> None:
        self._does(**options)  # type: ignore[operator]


def test_what_quotes_a_header_holds_nothing_that_does_not_print() -> None:
    assert one_line("PixelSpacing is \u00a0\u3000;\u200b x", plain=True) == "PixelSpacing is ; x"
