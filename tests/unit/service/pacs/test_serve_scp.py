"""The DICOM port: whom it lets in, what it answers, and that Success means safe on the disk."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
import pytest
from pacs_peers import SECRET_NAME, Running, images, running, send, wait_for
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from med_stylesr.service.pacs import incoming
from med_stylesr.service.pacs.queue import RECEIVING, Queue
from med_stylesr.service.pacs.serve_settings import ServeSettings

OUT_OF_RESOURCES, DUPLICATE, MISMATCH = 0xA700, 0x0111, 0xA900
SETTINGS = ServeSettings(
    to=("dicom://NOBODY@127.0.0.1:9",), port=0, http_port=None, quiet_s=3600, min_free_gb=0, timeout_s=5
)
"""Nothing is ever complete: what is tested is what the port does."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "state", SETTINGS, [sys.executable]) as started:
        yield started


def stored(server: Running) -> dict[str, Path]:
    files = (server.state / "incoming").glob("*/*.dcm")
    return {str(pydicom.dcmread(path).SOPInstanceUID): path for path in files}


def test_what_was_answered_with_success_is_on_the_disk_as_it_was_sent(server: Running) -> None:
    sent = images()
    assert send(server.port, sent) == [0, 0, 0]
    for dataset in sent:
        kept = pydicom.dcmread(stored(server)[dataset.SOPInstanceUID])
        assert kept == dataset
        assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_echo_is_answered(server: Running) -> None:
    ae = AE()
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", server.port, ae_title="MEDSTYLESR")
    assert association.send_c_echo().Status == 0
    association.release()


def test_the_same_image_twice_is_harmless_in_whichever_encoding(server: Running) -> None:
    first = images(slices=1)
    assert send(server.port, first) == [0]
    assert send(server.port, first, syntax=ExplicitVRLittleEndian) == [0]
    assert send(server.port, first, syntax=ImplicitVRLittleEndian) == [0]
    assert len(stored(server)) == 1
    assert len(server.events("image duplicate")) == 2


def test_another_image_under_a_known_uid_is_refused_and_named_and_the_first_one_kept(server: Running) -> None:
    first, second = images(slices=1), images(slices=1, KVP="80")
    assert send(server.port, first) == [0]
    assert send(server.port, second) == [DUPLICATE]
    (path,) = stored(server).values()
    assert pydicom.dcmread(path).KVP == first[0].KVP
    (line,) = server.events("image conflict")
    assert line["level"] == "error"


def test_pixels_alone_make_another_image(server: Running) -> None:
    first, second = images(slices=1), images(slices=1)
    second[0].PixelData = bytes(len(second[0].PixelData))
    assert send(server.port, first + second) == [0, DUPLICATE]


def test_derived_series_that_an_archive_forwards_back_are_not_enhanced_once_more(server: Running) -> None:
    own = images(slices=1)
    equipment = pydicom.Dataset()
    equipment.Manufacturer = "med-stylesr"
    own[0].ContributingEquipmentSequence = [equipment]
    assert send(server.port, own) == [0]
    assert not stored(server)
    assert server.events("image own")


def test_a_data_set_without_study_or_with_another_uid_than_announced_is_refused(server: Running) -> None:
    nameless = images(slices=1)
    del nameless[0].StudyInstanceUID
    assert send(server.port, nameless) == [MISMATCH]
    assert not stored(server)


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_is_answered_with_out_of_resources_and_nothing_half_stays(
    server: Running, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*args: object, **kwargs: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(Path, "open", full)
        elif where == "fsync":
            patch.setattr(incoming.os, "fsync", full)
        else:
            patch.setattr(incoming.os, "replace", full)
        assert send(server.port, images(slices=1)) == [OUT_OF_RESOURCES]
    assert not list(server.state.glob("*/**/*.dcm"))
    assert send(server.port, images(slices=1)) == [0]


def test_a_queue_that_cannot_be_written_is_answered_with_out_of_resources(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    def full(*args: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Queue, "add", full)
        assert send(server.port, images(slices=1)) == [OUT_OF_RESOURCES]
    assert not stored(server)


def test_little_free_space_is_kept_for_the_work_and_named(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(-1))
    assert send(server.port, images(slices=1)) == [OUT_OF_RESOURCES]
    assert "disk full" in server.server.vitals().problems


def test_a_message_beyond_the_size_limit_is_refused_with_an_answer_and_the_next_one_taken(tmp_path: Path) -> None:
    settings = replace(SETTINGS, max_instance_mb=0.3)
    with running(tmp_path / "state", settings, [sys.executable]) as server:
        large, small = images("large", 1, (800, 800)), images("small", 1)
        assert send(server.port, [*large, *small]) == [OUT_OF_RESOURCES, 0]


@pytest.mark.parametrize(
    ("peer", "aet", "admitted"),
    [("CT1", "CT1", True), ("CT1", "CT2", False), ("@127.0.0.0/8", "CT2", True), ("CT1@10.0.0.0/8", "CT1", False)],
)
def test_only_named_peers_are_let_in(tmp_path: Path, peer: str, aet: str, admitted: bool) -> None:
    with running(tmp_path / "state", replace(SETTINGS, peer=(peer,)), [sys.executable]) as server:
        assert send(server.port, images(slices=1), aet) == [0 if admitted else -1]
        assert bool(server.events("association refused")) is not admitted


def test_whoever_calls_somebody_else_is_not_let_in(server: Running) -> None:
    assert send(server.port, images(slices=1), called="ORTHANC") == [-1]


def test_a_sender_who_falls_silent_in_the_middle_of_a_message_is_hung_up_on(tmp_path: Path) -> None:
    with running(tmp_path / "state", replace(SETTINGS, timeout_s=0.5), [sys.executable]) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"\x01\x00\x00\x00\x01\x00")
            connection.settimeout(10)
            assert connection.recv(100) == b""
        assert send(server.port, images(slices=1)) == [0]


def test_the_folder_is_for_its_owner_alone_and_one_server_at_a_time(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.errors import UsageError
    from med_stylesr.service.pacs import serve

    assert server.state.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(serve, "_PATIENCE_S", 0.0)
    with pytest.raises(UsageError, match="another server"):
        serve.Server(server.state, SETTINGS)


def test_neither_log_nor_health_tells_whose_images_came(server: Running) -> None:
    sent = images()
    send(server.port, sent)
    send(server.port, images(slices=1, KVP="80"))
    told = server.log.getvalue() + repr(server.server.vitals())
    assert server.events("image stored")
    for secret in (SECRET_NAME, "Zaphod", "PH-1", sent[0].StudyInstanceUID, sent[0].SOPInstanceUID, "19700101"):
        assert secret not in told


def test_what_libraries_say_of_images_reaches_no_output(
    server: Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise KeyError(SECRET_NAME)

    send(server.port, images(slices=1))
    with monkeypatch.context() as patch:
        patch.setattr(incoming.Incoming, "take", broken)
        assert send(server.port, images("other", 1)) != [0]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.settimeout(10)
        connection.recv(100)
    output = capfd.readouterr()
    assert output.out + output.err == ""
    assert SECRET_NAME not in server.log.getvalue()


def test_a_study_is_not_complete_while_its_sender_holds_the_line(tmp_path: Path) -> None:
    with running(tmp_path / "state", replace(SETTINGS, quiet_s=0.0), ["/bin/false"]) as server:
        ae = AE(ae_title="CT1")
        dataset = images(slices=1)[0]
        ae.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", server.port, ae_title="MEDSTYLESR")
        assert association.send_c_store(dataset).Status == 0
        time.sleep(0.7)
        assert not server.events("study complete")
        association.release()
        wait_for(lambda: server.events("study complete"))


def test_a_line_that_is_held_for_other_things_does_not_hold_up_a_study(tmp_path: Path) -> None:
    settings = replace(SETTINGS, quiet_s=0.1, timeout_s=1.0)
    with running(tmp_path / "state", settings, ["/bin/false"]) as server:
        ae = AE(ae_title="CT1")
        dataset = images(slices=1)[0]
        ae.add_requested_context(dataset.SOPClassUID, ExplicitVRLittleEndian)
        ae.add_requested_context(Verification)
        association = ae.associate("127.0.0.1", server.port, ae_title="MEDSTYLESR")
        assert association.send_c_store(dataset).Status == 0
        wait_for(lambda: association.send_c_echo().Status == 0 and server.events("study complete"))
        assert association.is_established
        association.release()


def test_other_kinds_of_images_are_taken_only_when_told_to(tmp_path: Path) -> None:
    other = images(slices=1)
    other[0].SOPClassUID = other[0].file_meta.MediaStorageSOPClassUID = MRImageStorage
    for accept, answer in (("ct", -1), ("all", 0)):
        with running(tmp_path / accept, replace(SETTINGS, accept=accept), [sys.executable]) as server:
            assert send(server.port, other, sop_class=MRImageStorage) == [answer]


def test_a_restarted_server_knows_everything_it_took_and_drops_what_it_never_acknowledged(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(state, SETTINGS, [sys.executable]) as server:
        assert send(server.port, images()) == [0, 0, 0]
        study = next((state / "incoming").iterdir())
    (study / "never-recorded.dcm").write_bytes(b"half")
    (state / "arriving" / "x.dcm").write_bytes(b"half")
    with running(state, SETTINGS, [sys.executable]) as server:
        assert len(stored(server)) == 3
        assert len(list(state.rglob("*.dcm"))) == 3
        assert server.server.queue.counts("study") == {RECEIVING: 1}
        assert send(server.port, images()) == [0, 0, 0]
        assert len(server.events("image duplicate")) == 3
