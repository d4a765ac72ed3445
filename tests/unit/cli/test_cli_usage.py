"""Whatever is typed wrong at the command line is one line: what, why and where to look; exit status 2."""

from __future__ import annotations

import sys

import pytest

from med_stylesr.cli import main

WRONG = {
    "no such verb": (["nonsense"], "No such command 'nonsense'"),
    "option before the verb": (["--nope", "enhance"], "--nope"),
    "no source": (["enhance"], "enhance: Missing argument 'SOURCE'"),
    "no destination": (["enhance", "a"], "enhance: Missing argument 'DEST'"),
    "one too many": (["enhance", "a", "b", "c"], "unexpected extra argument"),
    "unknown option": (["enhance", "a", "b", "--nope"], "No such option: --nope"),
    "option without its value": (["enhance", "a", "b", "--dose"], "'--dose' requires an argument"),
    "option with too few values": (["enhance", "a", "b", "--scale", "1", "2"], "'--scale' requires 3 arguments"),
    "no number": (["enhance", "a", "b", "--jobs", "many"], "'--jobs'"),
    "number out of range": (["enhance", "a", "b", "--jobs", "0"], "'--jobs'"),
    "no such choice": (["enhance", "a", "b", "--format", "bmp"], "'bmp' is not one of"),
    "another verb": (["evaluate", "--nope"], "evaluate: No such option"),
    "a verb below a verb": (["data", "prepare"], "data prepare: Missing argument"),
}


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["med-stylesr", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.run()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_of_any_verb_is_one_line_that_says_where_to_look(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    arguments, told = WRONG[name]
    assert run(monkeypatch, arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("med-stylesr: ")
    assert told in line
    assert "--help`" in line


def test_a_call_without_anything_shows_the_verbs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, []) == 2
    assert "enhance" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["enhance", "--help"], ["--version"]])
def test_what_was_asked_for_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, arguments) == 0
    out, err = capfd.readouterr()
    assert "med-stylesr" in out
    assert not err
