"""From a received study to its derived series at the destination, through everything that may go wrong between."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pacs_peers import Archive, Running, images, running, send, wait_for
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.service.pacs.queue import DEAD, ENHANCED, PENDING, SENT
from med_stylesr.service.pacs.serve_settings import ServeSettings

PROGRAM = [sys.executable, str(Path(__file__).parents[3] / "fake_enhance.py")]


@pytest.fixture
def steer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that steers the program that stands for `enhance`."""
    folder = tmp_path / "steer"
    folder.mkdir()
    monkeypatch.setenv("FAKE_ENHANCE", str(folder))
    return folder


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.close()


def settings_for(*archives: Archive, **changes: Any) -> ServeSettings:
    quick = ServeSettings(
        to=tuple(archive.url for archive in archives),
        port=0,
        http_port=None,
        quiet_s=0.3,
        min_free_gb=0,
        timeout_s=5,
        backoff_s=0.1,
        backoff_max_s=0.3,
        attempts=3,
        study_attempts=2,
    )
    return replace(quick, **changes)


def counts(server: Running, table: str) -> dict[str, int]:
    return server.server.queue.counts(table)


def test_a_complete_study_comes_back_as_a_derived_series_of_itself(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    sent = images()
    with running(tmp_path / "state", settings_for(archive.open()), PROGRAM) as server:
        assert send(server.port, sent) == [0, 0, 0]
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
    assert len(archive.received) == 3
    assert {d.StudyInstanceUID for d in archive.received} == {sent[0].StudyInstanceUID}
    assert not archive.uids & {d.SOPInstanceUID for d in sent}
    told = server.log.getvalue() + json.dumps(server.events("series delivered"))
    assert sent[0].StudyInstanceUID not in told
    assert "PH-1" not in told


def test_a_dead_destination_delays_nobody_else_and_gets_its_series_when_it_lives_again(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    dead = Archive()
    with running(tmp_path / "state", settings_for(dead, archive.open(), attempts=50), PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: counts(server, "delivery") == {SENT: 1, PENDING: 1})
        wait_for(lambda: len(server.events("delivery failed")) >= 2)
        dead.open()
        wait_for(lambda: counts(server, "delivery") == {SENT: 2})
    dead.close()
    assert dead.uids == archive.uids


def test_what_cannot_be_delivered_goes_to_the_dead_letters_and_from_there_when_asked(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    archive.answer = 0xA700
    state = tmp_path / "state"
    with running(state, settings_for(archive.open()), PROGRAM) as server:
        sent = images()
        send(server.port, sent)
        wait_for(lambda: counts(server, "delivery") == {DEAD: 1})
        listed = CliRunner().invoke(app, ["serve", str(state), "--dead"]).output
        assert sent[0].StudyInstanceUID in listed
        assert "0xA700" in listed
        archive.answer = 0x0000
        assert "1 will be tried again" in CliRunner().invoke(app, ["serve", str(state), "--resend"]).output
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
        assert CliRunner().invoke(app, ["serve", str(state), "--dead"]).output == ""
    assert len(archive.uids) == 3


def test_a_study_that_cannot_be_enhanced_is_kept_named_and_tried_again_when_asked(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    (steer / "fail").touch()
    state = tmp_path / "state"
    with running(state, settings_for(archive.open(), keep_hours=0), PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: counts(server, "study") == {DEAD: 1})
        assert "cannot do PH-1" in CliRunner().invoke(app, ["serve", str(state), "--dead"]).output
        assert "PH-1" not in server.log.getvalue()
        assert len(list(state.glob("incoming/*/*.dcm"))) == 3
        (steer / "fail").unlink()
        CliRunner().invoke(app, ["serve", str(state), "--resend"])
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
    assert (steer / "calls").read_text().count("\n") == 3


def test_dead_letters_that_are_given_up_leave_the_disk(tmp_path: Path, steer: Path, archive: Archive) -> None:
    from med_stylesr.service.pacs import serve

    (steer / "fail").touch()
    state = tmp_path / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "_HOUSEKEEPING_S", 0.1)
        with running(state, settings_for(archive, keep_hours=0), PROGRAM) as server:
            send(server.port, images())
            wait_for(lambda: counts(server, "study") == {DEAD: 1})
            assert list(state.glob("incoming/*/*.dcm"))
            CliRunner().invoke(app, ["serve", str(state), "--discard"])
            wait_for(lambda: not list(state.glob("incoming/*/*.dcm")))


def test_delivered_studies_leave_the_disk_and_may_come_again(
    tmp_path: Path, steer: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.service.pacs import serve

    monkeypatch.setattr(serve, "_HOUSEKEEPING_S", 0.1)
    state = tmp_path / "state"
    with running(state, settings_for(archive.open(), keep_hours=0), PROGRAM) as server:
        for _ in range(2):
            assert send(server.port, images()) == [0, 0, 0]
            wait_for(lambda: not counts(server, "study"))
            assert not list(state.rglob("*.dcm"))
    assert len(archive.uids) == 3


def test_images_that_come_late_are_enhanced_too_and_what_was_delivered_is_not_sent_again(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    early, late = images("early"), images("late")
    for dataset in late:
        dataset.StudyInstanceUID = early[0].StudyInstanceUID
    with running(tmp_path / "state", settings_for(archive.open()), PROGRAM) as server:
        send(server.port, early)
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
        send(server.port, late)
        wait_for(lambda: counts(server, "delivery") == {SENT: 2})
    assert len(archive.received) == len(archive.uids) == 6


def test_images_that_come_while_their_study_is_enhanced_are_not_forgotten(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    early, late = images("early"), images("late")
    for dataset in late:
        dataset.StudyInstanceUID = early[0].StudyInstanceUID
    (steer / "slow").touch()
    with running(tmp_path / "state", settings_for(archive.open()), PROGRAM) as server:
        send(server.port, early)
        wait_for(lambda: server.events("study complete"))
        send(server.port, late)
        (steer / "slow").unlink()
        wait_for(lambda: counts(server, "study") == {ENHANCED: 1} and counts(server, "delivery") == {SENT: 2})
    assert len(archive.uids) == 6


def test_a_server_told_to_stop_does_not_wait_for_a_study_and_does_it_after_a_restart(
    tmp_path: Path, steer: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.service.pacs import studies

    monkeypatch.setattr(studies, "_GRACE_S", 0.2)
    (steer / "slow").touch()
    with running(tmp_path / "state", settings_for(archive.open()), PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: (steer / "calls").exists())
    assert not archive.received
    (steer / "slow").unlink()
    with running(tmp_path / "state", settings_for(archive), PROGRAM) as server:
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
    assert len(archive.uids) == 3


def test_a_study_of_localizers_alone_is_nothing_to_enhance_and_no_failure(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    scout = images(slices=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    with running(tmp_path / "state", settings_for(archive), PROGRAM) as server:
        assert send(server.port, scout) == [0]
        wait_for(lambda: server.events("study without CT volumes"))
    assert not (steer / "calls").exists()


def test_limits_and_options_reach_the_program_that_enhances(tmp_path: Path, steer: Path, archive: Archive) -> None:
    settings = settings_for(archive, memory_limit=4000, time_limit=7.5, enhance=("--dose", "0.25"))
    with running(tmp_path / "state", settings, PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: server.events("study enhanced"))
    options = (steer / "options").read_text()
    assert options.endswith("--memory-limit 4000 --time-limit 7.5 --dose 0.25")
    assert "--no-isolate" not in options


def test_a_study_that_takes_too_long_is_ended(
    tmp_path: Path, steer: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.service.pacs import studies

    monkeypatch.setattr(studies, "_GRACE_S", 0.2)
    (steer / "slow").touch()
    settings = settings_for(archive, study_hours=0.5 / 3600, study_attempts=1)
    with running(tmp_path / "state", settings, PROGRAM) as server:
        send(server.port, images())
        (study,) = wait_for(lambda: server.server.queue.studies(DEAD))
        assert "longer than" in study.reason


def test_health_and_metrics_tell_numbers_on_loopback(tmp_path: Path, steer: Path, archive: Archive) -> None:
    with running(tmp_path / "state", settings_for(archive.open(), http_port=0), PROGRAM) as server:
        base = f"http://127.0.0.1:{server.server.http_port}"
        send(server.port, images())
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
        health = json.load(urllib.request.urlopen(f"{base}/healthz"))
        assert health == {"status": "ok", "problems": [], "studies": {ENHANCED: 1}, "deliveries": {SENT: 1}}
        metrics = urllib.request.urlopen(f"{base}/metrics").read().decode()
        assert 'med_stylesr_images_total{verdict="stored"} 3.0' in metrics
        assert 'med_stylesr_deliveries{state="sent"} 1.0' in metrics
        assert "PH-1" not in metrics
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/")


def test_a_broken_part_ends_the_server_so_that_a_supervisor_starts_it_again(
    tmp_path: Path, steer: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.service.pacs.serve import Server
    from med_stylesr.service.pacs.studies import Enhancing

    def broken(*args: object) -> bool:
        raise ValueError("about PH-1")

    monkeypatch.setattr(Enhancing, "enhance_one", broken)
    with Server(tmp_path / "state", settings_for(archive), program=PROGRAM) as server:
        with pytest.raises(RuntimeError, match="enhancing"):
            server.run()
        assert server.vitals().problems == ("enhancing",)


def test_a_full_disk_under_the_queue_stops_no_part_for_good(
    tmp_path: Path, steer: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    from med_stylesr.service.pacs.queue import Queue

    recorded, full = Queue.enhanced, [3]

    def sometimes(*args: Any) -> None:
        full[0] -= 1
        if full[0] >= 0:
            raise sqlite3.OperationalError("database or disk is full")
        recorded(*args)

    monkeypatch.setattr(Queue, "enhanced", sometimes)
    with running(tmp_path / "state", settings_for(archive.open()), PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: counts(server, "delivery") == {SENT: 1})
    assert len(archive.uids) == 3


def test_derived_series_that_vanished_are_dead_letters_not_a_success(
    tmp_path: Path, steer: Path, archive: Archive
) -> None:
    state = tmp_path / "state"
    with running(state, settings_for(archive, backoff_s=0.5, backoff_max_s=0.5), PROGRAM) as server:
        send(server.port, images())
        wait_for(lambda: server.events("delivery failed"))
        shutil.rmtree(state / "derived")
        archive.open()
        wait_for(lambda: counts(server, "delivery") == {DEAD: 1})
    assert not archive.received
