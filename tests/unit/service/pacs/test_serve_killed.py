"""kill -9 at any moment: what was answered with Success is never lost, and everything is delivered in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pacs_peers import Archive, images, send, wait_for
from pydicom.dataset import Dataset

SERVER = Path(__file__).parents[3] / "server_process.py"


@contextmanager
def server_process(
    state: Path, archive: Archive, quiet_s: float, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    told = state.with_name("port")
    told.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(SERVER.parent), "FAKE_ENHANCE": str(state.parent)}
    command = [sys.executable, str(SERVER), str(state), archive.url, str(told), str(quiet_s)]
    with log.open("ab") as stream:
        process = subprocess.Popen(command, env=environment, stderr=stream)
        try:
            wait_for(told.exists, 60)
            yield process, int(told.read_text())
        finally:
            process.kill()
            process.wait()


def send_until_acknowledged(datasets: list[Dataset], state: Path, archive: Archive, kills: int, log: Path) -> None:
    """Send again and again to servers that are killed at random moments, and at last to one that is not."""
    chance, waiting = random.Random(kills), list(datasets)
    for killing in [True] * kills + [False]:
        with server_process(state, archive, 0.2, log) as (process, port):
            killer = threading.Timer(chance.uniform(0.0, 0.25), process.send_signal, [signal.SIGKILL])
            if killing:
                killer.start()
            sent = waiting or datasets
            answers = send(port, sent)
            acknowledged = {d.SOPInstanceUID for d, a in zip(sent, answers, strict=True) if a == 0}
            if killing:
                killer.join()
        kept = {str(pydicom.dcmread(path).SOPInstanceUID) for path in state.glob("incoming/*/*.dcm")}
        assert acknowledged <= kept, "an image that was answered with Success is gone"
        waiting = [d for d in waiting if d.SOPInstanceUID not in acknowledged]
    assert not waiting


def received(archive: Archive, study: str) -> set[str]:
    """SOPInstanceUIDs that the archive got of a study."""
    return {str(d.SOPInstanceUID) for d in list(archive.received) if d.StudyInstanceUID == study}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_nothing_acknowledged_is_lost_however_often_the_server_is_killed(tmp_path: Path, kills: int) -> None:
    archive, state, log = Archive().open(), tmp_path / "state", tmp_path / "log"
    datasets = [dataset for name in "ab" for dataset in images(name, 15)]
    try:
        send_until_acknowledged(datasets, state, archive, kills, log)
        with server_process(state, archive, 0.2, log) as (process, _):
            studies = {str(dataset.StudyInstanceUID) for dataset in datasets}
            # On a busy machine a study falls quiet half-way, and a series of a part is delivered before the whole one.
            wait_for(lambda: all(len(received(archive, uid)) >= 15 for uid in studies), 60)
            wait_for(lambda: log.read_text().count('"series delivered"') >= len(studies), 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        archive.close()
    complete = {uid: received(archive, uid) for uid in studies}
    # A study that was interrupted in the middle of being sent may have been enhanced in part as well.
    assert all(len(uids) >= 15 for uids in complete.values())
    assert "Traceback" not in log.read_text()


def test_a_delivery_that_is_killed_half_way_is_completed_after_the_restart(tmp_path: Path) -> None:
    archive, state, log = Archive(), tmp_path / "state", tmp_path / "log"
    with server_process(state, archive, 0.2, log) as (_, port):
        assert send(port, images("study", 30)) == [0] * 30
        wait_for(lambda: "delivery failed" in log.read_text(), 60)
        archive.open()
        wait_for(lambda: len(archive.received) > 2, 60)
    time.sleep(0.1)
    try:
        with server_process(state, archive, 0.2, log):
            wait_for(lambda: "series delivered" in log.read_text(), 60)
    finally:
        archive.close()
    assert len(archive.uids) == 30
