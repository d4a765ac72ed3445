"""Settings of a server: a file and the command line say the same things, and nonsense is refused before any work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.errors import UsageError
from med_stylesr.service.pacs.delivery import is_due, pause_after
from med_stylesr.service.pacs.destinations import parse_destination
from med_stylesr.service.pacs.peers import is_allowed, parse_peer
from med_stylesr.service.pacs.serve_settings import ServeSettings, load_settings

TO = {"to": ("dicom://PACS@127.0.0.1:4242",)}


@pytest.mark.parametrize("ending", ["yaml", "toml"])
def test_a_file_says_what_the_command_line_says_and_gives_way_to_it(tmp_path: Path, ending: str) -> None:
    if ending == "toml" and sys.version_info < (3, 11):
        return
    file = tmp_path / f"serve.{ending}"
    file.write_text(
        {
            "yaml": "to: dicom://PACS@127.0.0.1:4242\nport: 104\nquiet-s: 5\npeer: [CT1, '@10.0.0.0/8']\n"
            "enhance: [--dose, 0.25]\n",
            "toml": 'to = "dicom://PACS@127.0.0.1:4242"\nport = 104\nquiet-s = 5\npeer = ["CT1", "@10.0.0.0/8"]\n'
            'enhance = ["--dose", 0.25]\n',
        }[ending]
    )
    settings = load_settings(file, {"port": 105, "quiet_s": None, "peer": (), "enhance": ()})
    assert settings == ServeSettings(
        **TO, port=105, quiet_s=5.0, peer=("CT1", "@10.0.0.0/8"), enhance=("--dose", "0.25")
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("port: null", "cannot be None"),
        ("speed: 3", "speed is no setting"),
        ("port: many", "cannot be 'many'"),
        ("port: true", "cannot be True"),
        ("- 1", "holds no settings"),
        ("a: [", "is not in the form"),
        ("password: x", "password is no setting"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=told):
        load_settings(file, TO)


@pytest.mark.parametrize(
    "given",
    [
        {"to": ()},
        {"to": ("dicom://PACS@127.0.0.1:4242",) * 2},
        {"to": ("ftp://x",)},
        {"to": ("dicom://PACS@127.0.0.1",)},
        {"to": ("dicom://127.0.0.1:104",)},
        {"aet": "LONGER THAN SIXTEEN"},
        {"port": 70000},
        {"accept": "most"},
        {"quiet_s": -1.0},
        {"attempts": 0},
        {"backoff_s": float("nan")},
        {"memory_limit": -1},
        {"memory_limit": 0.5},
        {"time_limit": -0.1},
        {"time_limit": float("nan")},
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "everywhere"},
        {"peer": ("CT1@nowhere",)},
        {"peer": ("any", "CT1")},
        {"tls_cert": Path(__file__)},
        {"tls_ca": Path("/no/such/file")},
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load_settings(None, {**TO, **given})


def test_beyond_this_machine_a_server_listens_only_for_named_peers_or_when_told_to() -> None:
    assert load_settings(None, {**TO, "host": "0.0.0.0", "peer": ("CT1@10.0.0.0/8",)}).peers
    assert load_settings(None, {**TO, "host": "0.0.0.0", "peer": ("any",)}).peers == ()
    assert ServeSettings().host == "127.0.0.1"


def test_a_file_may_say_that_no_port_for_health_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("http_port: null")
    assert load_settings(file, TO).http_port is None


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    for text in ("https://ward:secret@pacs/x", "dicom://PACS:secret@h:1"):
        with pytest.raises(UsageError) as caught:
            parse_destination(text)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("peer", "caller", "address", "allowed"),
    [
        ("CT1", "CT1 ", "10.1.1.1", True),
        ("CT1", "ct1", "10.1.1.1", False),
        ("CT1@10.0.0.0/8", "CT1", "::ffff:10.1.1.1", True),
        ("CT1@10.0.0.0/8", "CT1", "11.1.1.1", False),
        ("@fe80::/10", "X", "fe80::1%eth0", True),
        ("@10.0.0.0/8", "X", "fe80::1", False),
    ],
)
def test_peers_are_known_by_title_and_address_together(peer: str, caller: str, address: str, allowed: bool) -> None:
    assert is_allowed([parse_peer(peer)], caller, address) is allowed


def test_pauses_double_up_to_a_limit_and_end() -> None:
    settings = ServeSettings(backoff_s=10, backoff_max_s=60)
    pauses = [pause_after(attempts, 6, settings) for attempts in range(6)]
    assert pauses[-1] is None
    for pause, least in zip(pauses[:-1], (10, 20, 40, 60, 60), strict=True):
        assert pause is not None
        assert least <= pause <= 1.1 * least
    assert pause_after(5000, 10000, settings) is not None


def test_a_clock_that_was_set_back_does_not_stop_deliveries_for_ever() -> None:
    settings = ServeSettings(backoff_max_s=60)
    assert not is_due(1030.0, 1000.0, settings)
    assert is_due(1_000_000.0, 1000.0, settings)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--", "--doze", "1"], "--doze"),
        (["--", "--resume"], "set by serve"),
        (["--", "--format", "nifti"], "set by serve"),
        (["--", "--quiet-seconds", "5"], "--quiet of serve"),
        (["--", "--dicomdir"], "not for a server"),
        (["--", "--stream"], "not for a server"),
        (["--", "--no-isolate"], "has no limits"),
        (["--memory-limit", "4000", "--", "--memory-limit", "2000"], "again after --"),
        (["--memory-limit", "-1"], "memory-limit"),
        (["--", "--deidentify", "basic"], "needs a key"),
        (["somewhere"], "extra argument"),
        (["--host", "0.0.0.0"], "everybody"),
    ],
)
def test_wrong_options_of_serve_and_of_enhance_are_told_before_it_starts(
    tmp_path: Path, options: list[str], told: str
) -> None:
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "state"), "--to", TO["to"][0], *options])
    refused = result.output if isinstance(result.exception, SystemExit) else str(result.exception)
    assert isinstance(result.exception, (UsageError, SystemExit))
    assert result.exit_code != 0
    assert told in refused
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("option", ["--multiframe", "--uncertainty", "--safe", "--jobs=2", "--transfer-syntax=rle"])
def test_options_that_make_sense_beside_an_archive_are_taken(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReachedError(Exception):
        pass

    def reached(*_: object) -> None:
        raise ReachedError

    monkeypatch.setattr("med_stylesr.cli.serve.require_packages", reached)
    options = ["--to", TO["to"][0], "--time-limit", "5", "--", option, "--memory-limit", "0"]
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "state"), *options])
    assert isinstance(result.exception, ReachedError)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ()),
        ("memory_limit: null", ()),
        ("memory-limit: 4000\ntime-limit: 7.5", ("--memory-limit", "4000", "--time-limit", "7.5")),
        ("memory_limit: 0\ntime_limit: 0", ("--memory-limit", "0", "--time-limit", "0.0")),
        ("memory_limit: 12345678", ("--memory-limit", "12345678")),
    ],
)
def test_limits_reach_the_program_that_enhances_as_they_were_given(
    tmp_path: Path, content: str, expected: tuple[str, ...]
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(f"to: {TO['to'][0]}\n{content}\n")
    assert load_settings(file, {}).limits == expected


def test_a_folder_that_is_no_servers_has_no_dead_letters(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", str(tmp_path), "--dead"])
    assert isinstance(result.exception, UsageError)
    assert not list(tmp_path.iterdir())
