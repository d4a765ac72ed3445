"""Archives, links, names and indexes that lead astray: each builder fills an empty folder."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pydicom
from hostile_dicom import phantom
from phantoms import BODY, slice_dataset, stack, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

Builder = Callable[[Path], None]


def zipped(members: Mapping[str, bytes], name: str = "a.zip") -> Builder:
    def build(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in members.items():
                file.writestr(zipfile.ZipInfo(member), data, zipfile.ZIP_DEFLATED)

    return build


def tarred(*members: tarfile.TarInfo, name: str = "a.tar", data: bytes = b"") -> Builder:
    def build(folder: Path) -> None:
        mode = "w:gz" if name.endswith("gz") else "w"
        with tarfile.open(folder / name, mode) as file:
            for member in members:
                member.size = len(data) if member.isreg() else 0
                file.addfile(member, io.BytesIO(data))

    return build


def _tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def bent(build: Builder, name: str, bend: Callable[[bytes], bytes]) -> Builder:
    def built(folder: Path) -> None:
        build(folder)
        (folder / name).write_bytes(bend((folder / name).read_bytes()))

    return built


def archives() -> dict[str, Builder]:
    slice_ = phantom()
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    def zip_link(folder: Path) -> None:
        with zipfile.ZipFile(folder / "a.zip", "w") as file:
            file.writestr(link, "/etc/passwd")

    def zip_twice(folder: Path) -> None:
        with zipfile.ZipFile(folder / "a.zip", "w") as file:
            file.writestr("0.dcm", slice_)
            file.writestr("0.DCM", slice_)
            file.writestr("sub/../0.dcm", slice_)

    def bomb(folder: Path) -> None:
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file, file.open("0.dcm", "w") as member:
            for _ in range(400):
                member.write(bytes(1 << 20))

    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("0.dcm", slice_)
    whole = zipped({"0.dcm": slice_})
    tar = tarred(_tar_member("0.dcm"), data=slice_)
    return {
        "zip that leads up": zipped({"../../../evil.dcm": slice_}),
        "zip with an absolute name": zipped({"/tmp/evil.dcm": slice_}),
        "zip with a drive": zipped({"C:\\evil.dcm": slice_, "..\\..\\evil.dcm": slice_}),
        "zip with names of control characters": zipped({"a\n\x1b[31m.dcm": slice_[:900]}),
        "zip with a name of 5000 characters": zipped({"x" * 5000 + ".dcm": slice_[:900]}),
        "zip 200 folders deep": zipped({"/".join(["d"] * 200) + "/0.dcm": slice_[:900]}),
        "zip of a file that is its own folder": zipped({"a": b"x", "a/0.dcm": slice_}),
        "zip with a link": zip_link,
        "zip with one name twice": zip_twice,
        "zip bomb": bomb,
        "zip in a zip": zipped({"inner.zip": inner.getvalue()}),
        "zip of nothing": zipped({}),
        "zip of text": zipped({"readme.txt": b"nothing here"}),
        "zip cut": bent(whole, "a.zip", lambda data: data[:-30]),
        "zip with a wrong sum": bent(whole, "a.zip", lambda data: data[:60] + b"\xff\xff" + data[62:]),
        "zip with a password": bent(
            whole, "a.zip", lambda d: d.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0")
        ),
        "zip of an unknown packing": bent(
            whole, "a.zip", lambda d: d.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x63\0")
        ),
        "zip that is none": lambda folder: (folder / "a.zip").write_bytes(b"PK not really") and None,
        "zip that is empty": lambda folder: (folder / "a.zip").write_bytes(b"") and None,
        "tar that leads up": tarred(_tar_member("../../evil.dcm"), data=slice_),
        "tar with an absolute name": tarred(_tar_member("/tmp/evil.dcm"), data=slice_),
        "tar with a link": tarred(_tar_member("l.dcm", tarfile.SYMTYPE, "/etc/passwd")),
        "tar with a hard link": tarred(_tar_member("l.dcm", tarfile.LNKTYPE, "../../etc/passwd")),
        "tar with a device": tarred(_tar_member("zero.dcm", tarfile.CHRTYPE)),
        "tar with a pipe": tarred(_tar_member("pipe.dcm", tarfile.FIFOTYPE)),
        "tar cut": bent(tar, "a.tar", lambda data: data[:700]),
        "tar with a wrong sum": bent(tar, "a.tar", lambda data: b"zzzz" + data[4:]),
        "tar.gz cut": bent(tarred(_tar_member("0.dcm"), data=slice_, name="a.tar.gz"), "a.tar.gz", lambda d: d[:-40]),
        "tar.gz that is none": lambda folder: (folder / "a.tgz").write_bytes(b"no archive") and None,
        "tar.xz that is none": lambda folder: (folder / "a.tar.xz").write_bytes(b"\xfd7zXZ\0 broken") and None,
    }


def _deep(folder: Path) -> None:
    for _ in range(60):
        folder = folder / "deeper"
    folder.mkdir(parents=True)
    (folder / "0.dcm").write_bytes(phantom()[:800])


def _socket(folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s.dcm")
    finally:
        os.chdir(here)


def _links(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to("self")
    (folder / "b").symlink_to("a")
    (folder / "nowhere.dcm").symlink_to("missing.dcm")
    (folder / "null.dcm").symlink_to("/dev/null")
    (folder / "endless.dcm").symlink_to("/dev/zero")


def _same_twice(folder: Path) -> None:
    (path, *_) = write_series(folder / "s", stack(1, shape=(32, 32)), BODY)
    (folder / "hard.dcm").hardlink_to(path)
    (folder / "soft.dcm").symlink_to(path)


def names() -> dict[str, Builder]:
    plain = b"just text, whatever the name says\n"
    named = {
        "text named .dcm": ("notes.dcm", plain),
        "text named DICOMDIR": ("DICOMDIR", plain),
        "nothing named .dcm": ("empty.dcm", b""),
        "nothing named DICOMDIR": ("DICOMDIR", b""),
        "a picture named .dcm": ("p.dcm", b"\x89PNG\r\n\x1a\n" + bytes(300)),
        "a program named .dcm": ("p.dcm", b"MZ" + bytes(400)),
        "zeros named .dcm": ("z.dcm", bytes(4096)),
        "a preamble alone": ("0.dcm", bytes(128) + b"DICM"),
        "half a preamble": ("0.dcm", bytes(128) + b"DI"),
        "a name with line breaks": ("a\nmed-stylesr: all done\n.dcm", phantom()[:700]),
        "a name with escape sequences": ("\x1b[2J\x1b[31m.dcm", phantom()[:700]),
        "a name that is no text": (os.fsdecode(b"\xff\xfe\x80.dcm"), phantom()[:700]),
        "a name of 250 characters": ("n" * 246 + ".dcm", phantom()[:700]),
        "a name that is an option": ("--overwrite", phantom()[:700]),
        "a name of white space": ("   ", phantom()[:700]),
    }

    def written(name: str, data: bytes) -> Builder:
        return lambda folder: (folder / name).write_bytes(data) and None

    return {
        **{kind: written(name, data) for kind, (name, data) in named.items()},
        "links in circles and to devices": _links,
        "one file under three names": _same_twice,
        "a pipe named .dcm": lambda folder: os.mkfifo(folder / "p.dcm"),
        "a socket named .dcm": _socket,
        "sixty folders deep": _deep,
        "empty folders": lambda folder: (folder / "a" / "b").mkdir(parents=True),
        "a folder named .dcm": lambda folder: (folder / "s.dcm").mkdir(),
        "a folder named .nii.gz": lambda folder: (folder / "v.nii.gz").mkdir(),
    }


def index(*files: list[str]) -> bytes:
    """A DICOMDIR that lists these files."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    records = []
    for parts in files:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.add(pydicom.DataElement(0x00041500, "CS", parts, already_converted=True))
        records.append(record)
    dataset.DirectoryRecordSequence = records
    file = pydicom.filebase.DicomBytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(file, dataset, enforce_file_format=False)
    return (
        bytes(128) + b"DICM" + bytes(file.getvalue())[132:] if file.getvalue()[128:132] == b"DICM" else file.getvalue()
    )


def indexes() -> dict[str, Builder]:
    def listed(*files: list[str], data: bytes | None = None) -> Builder:
        def build(folder: Path) -> None:
            (folder / "cd").mkdir()
            (folder / "cd" / "DICOMDIR").write_bytes(index(*files) if data is None else data)

        return build

    def repeated(folder: Path) -> None:
        listed(*[["0.DCM"]] * 50)(folder)
        slice_dataset(stack(1, shape=(32, 32)), BODY, 0, "cd").save_as(
            folder / "cd" / "0.DCM", enforce_file_format=True
        )

    return {
        "index of a system file": listed(["..", "..", "..", "etc", "passwd"]),
        "index of an absolute name": listed(["/etc/passwd"]),
        "index of what is missing": listed(["A", "B", "C"]),
        "index of itself": listed(["DICOMDIR"]),
        "index of one file fifty times": repeated,
        "index of nothing": listed(),
        "index cut": listed(data=index(["A"])[:200]),
        "index of ten thousand files": listed(*[["A", f"F{k}"] for k in range(10_000)]),
    }


def cases() -> dict[str, Builder]:
    """All of them by name."""
    return {**archives(), **names(), **indexes()}
