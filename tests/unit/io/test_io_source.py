"""Everything in SOURCE is found or named, nothing in it can make the search hang, fill the disk or leave its folder."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantoms import BODY, stack, write_series
from pydicom.fileset import FileSet

from med_stylesr.errors import UsageError
from med_stylesr.io import archive
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.volume import CTVolume


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_series(tmp_path / "src" / "scan", stack(4), BODY)
    return tmp_path / "src"


def _zip(source: Path, target: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(target, "w", compression) as file:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(source))
    return target


def test_a_single_file_is_a_series_of_one_slice(scan: Path) -> None:
    with find_inputs(scan / "scan" / "0002.dcm") as inputs:
        assert [len(s) for s in inputs.series] == [1]


def test_a_tree_of_everything(scan: Path, temporary: Path) -> None:
    volume = CTVolume(np.zeros((3, 4, 5), np.int16), np.eye(4))
    (scan / "deep" / "er").mkdir(parents=True)
    for name in ("a.nii.gz", "deep/b.nrrd", "deep/er/c.mha"):
        write_volume_file(volume, scan / name)
    write_series(temporary.parent / "other" / "x", stack(5), BODY)
    _zip(temporary.parent / "other", scan / "deep" / "more.zip")
    (scan / "notes.txt").write_text("hello")
    (scan / "empty").write_bytes(b"")
    with find_inputs(scan) as inputs:
        assert sorted(len(s) for s in inputs.series) == [4, 5]
        assert sorted(str(v.relative) for v in inputs.volumes) == ["a.nii.gz", "deep/b.nrrd", "deep/er/c.mha"]
        assert {Path(s.name).name: s.reason for s in inputs.skipped} == {
            "notes.txt": "no DICOM or volume file",
            "empty": "empty file",
        }
        assert list(temporary.iterdir())
    assert not list(temporary.iterdir()), "what archives were unpacked to is removed"


def test_links_in_circles_and_double_links_are_followed_once(scan: Path) -> None:
    (scan / "scan" / "up").symlink_to(scan)
    (scan / "again").symlink_to(scan / "scan")
    (scan / "self").symlink_to(scan / "self")
    os.link(scan / "scan" / "0000.dcm", scan / "hard.dcm")
    with find_inputs(scan) as inputs:
        assert [len(s) for s in inputs.series] == [4]


def test_pipes_sockets_and_devices_never_hang(scan: Path) -> None:
    os.mkfifo(scan / "pipe.dcm")
    os.mkfifo(scan / "pipe.nii.gz")
    (scan / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(scan / "s"))
        start = time.monotonic()
        with find_inputs(scan) as inputs:
            assert len(inputs.series) == 1
            assert sum("pipe, socket or device" in s.reason for s in inputs.skipped) == 4
    assert time.monotonic() - start < 5


def test_a_pipe_as_source_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe, socket or device"):
        find_inputs(tmp_path / "pipe")


@pytest.mark.parametrize("content", [None, "text", "empty folder"])
def test_nothing_usable_is_wrong_usage_with_the_reason(tmp_path: Path, content: str | None) -> None:
    source = tmp_path / "source"
    if content == "text":
        source.mkdir()
        (source / "a.txt").write_text("x")
    elif content:
        source.mkdir()
    with pytest.raises(UsageError, match=r"does not exist|nothing usable") as caught:
        find_inputs(source)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_named(scan: Path) -> None:
    bad = scan / "scan" / "0001.dcm"
    bad.chmod(0)
    if os.access(bad, os.R_OK):  # root reads everything: a link to nowhere is as unreadable
        bad.unlink()
        bad.symlink_to(scan / "nowhere")
    with find_inputs(scan) as inputs:
        assert [len(s) for s in inputs.series] == [3]
        assert [s.name for s in inputs.skipped if "cannot be read" in s.reason] == [str(bad)]


@pytest.mark.parametrize("kind", ["zip", "stored zip", "tar", "tar.gz", "tar.xz"])
def test_archives_are_read_like_folders(scan: Path, temporary: Path, kind: str) -> None:
    target = temporary.parent / f"study.{kind.split()[-1]}"
    if "zip" in kind:
        _zip(scan, target, zipfile.ZIP_STORED if "stored" in kind else zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(target, f"w:{kind.partition('.')[2]}") as file:
            file.add(scan, "study")
    with find_inputs(target) as inputs:
        assert [len(s) for s in inputs.series] == [4]
        assert read_volume(inputs.series[0]).hu.shape == (4, 24, 20)
    assert not list(temporary.iterdir())


def test_archive_members_that_lead_outside_or_are_links_are_refused(tmp_path: Path, temporary: Path) -> None:
    target = tmp_path / "evil.tar"
    with tarfile.open(target, "w") as file:
        for name in ("../out.dcm", "/abs.dcm", "a/../../b.dcm", "C:/windows.dcm", "good/con.dcm"):
            info = tarfile.TarInfo(name)
            info.size = 4
            file.addfile(info, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
        pipe = tarfile.TarInfo("pipe")
        pipe.type = tarfile.FIFOTYPE
        file.addfile(pipe)
    refused = archive.unpack(target, temporary)
    assert len(refused) == 6
    written = [p.relative_to(temporary) for p in temporary.rglob("*") if p.is_file()]
    assert written == [Path("good/_con.dcm")]
    assert not (tmp_path / "out.dcm").exists()


def test_zip_links_and_absolute_names_are_refused(tmp_path: Path, temporary: Path) -> None:
    target = tmp_path / "evil.zip"
    with zipfile.ZipFile(target, "w") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("..\\..\\out.dcm", "evil")
    assert len(archive.unpack(target, temporary)) == 2
    assert not list(temporary.iterdir())


def test_a_zip_bomb_is_stopped_early(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "RATIO_FROM_BYTES", 4 << 20)
    target = tmp_path / "bomb.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for k in range(10):
            file.writestr(f"{k}.dcm", bytes(4 << 20))
    with pytest.raises(UsageError, match="unpacks to more"):
        find_inputs(target)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", ["broken.zip", "broken.tar", "broken.tar.gz"])
def test_damaged_archives_are_told_in_one_line(tmp_path: Path, temporary: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04" + os.urandom(500))
    with pytest.raises(UsageError, match=r"cannot be unpacked|damaged"):
        find_inputs(tmp_path / name)
    assert not list(temporary.iterdir())


def test_an_archive_cut_off_in_the_middle_never_gives_half_a_scan_in_silence(scan: Path, temporary: Path) -> None:
    whole = _zip(scan, temporary.parent / "whole.zip").read_bytes()
    (temporary.parent / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="cannot be unpacked"):
        find_inputs(temporary.parent / "cut.zip")


def test_dicomdir_gives_the_files_it_lists(scan: Path, tmp_path: Path) -> None:
    medium = FileSet()
    for path in (scan / "scan").iterdir():
        medium.add(path)
    medium.write(tmp_path / "cd")
    listed = sorted(p for p in (tmp_path / "cd").rglob("*") if p.is_file() and p.name not in ("DICOMDIR", "extra.dcm"))
    listed[0].rename(tmp_path / "cd" / "extra.dcm")
    with find_inputs(tmp_path / "cd" / "DICOMDIR") as inputs:
        assert [len(s) for s in inputs.series] == [3]
        assert [s.reason for s in inputs.skipped] == ["listed in the index, but missing"]
    with find_inputs(tmp_path / "cd") as inputs:
        assert [len(s) for s in inputs.series] == [4]
        assert any("DICOMDIR" in s.reason for s in inputs.skipped)


def test_files_without_preamble_are_dicom_too(scan: Path) -> None:
    for path in (scan / "scan").iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        bare = pydicom.Dataset(dataset)
        bare.set_original_encoding(False, True)
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    with find_inputs(scan) as inputs:
        assert [len(s) for s in inputs.series] == [4]
        truth = np.stack([BODY.hu_at(stack(4).positions(k)) for k in range(4)])
        assert np.array_equal(read_volume(inputs.series[0]).hu, truth)


def test_scanning_reads_headers_only(tmp_path: Path) -> None:
    write_series(tmp_path / "s", stack(60, shape=(256, 256), step_mm=1.0, spacing_mm=(0.5, 0.5)), BODY)
    start = time.process_time()
    with find_inputs(tmp_path) as inputs:
        assert len(inputs.series[0]) == 60
    assert (time.process_time() - start) / 60 < 0.01
