"""Files are opened so that neither links nor pipes do harm, on every system."""

from __future__ import annotations

import io
import os
import pathlib

import numpy as np
import pydicom
import pytest
from deid_tokens import Tokens, plain_slice, written
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.files import Outcome, clean_file, harvest_file
from med_stylesr.deid.keys import new_key
from med_stylesr.deid.reading import kind_of
from med_stylesr.deid.verify import search_for
from med_stylesr.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def cleaned(path: pathlib.Path, dest: pathlib.Path) -> Outcome:
    deidentifier = Deidentifier(load_profile("basic"), new_key())
    harvest_file(path, deidentifier)
    search = search_for(deidentifier.harvested, deidentifier.profile)
    return clean_file(path, path.name, dest, deidentifier, search, overwrite=False)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(plain_slice()))
    (tmp_path / "link").symlink_to(tmp_path / "a.dcm")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "folder")
    for name in ("link", "linked"):
        with pytest.raises(InputError, match=r"^link: it is not followed"):
            kind_of(tmp_path / name)
    assert kind_of(tmp_path / "pipe") == "it is no regular file"


@pytest.mark.parametrize("missing", [(), ("O_NONBLOCK", "O_NOFOLLOW")])
def test_files_are_told_apart_where_the_system_has_fewer_ways_to_open_them(
    missing: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(written(plain_slice()))
    (tmp_path / "v.nii").write_bytes(bytes(400))
    (tmp_path / "notes").write_text("nothing")
    for name in missing:
        monkeypatch.delattr(os, name)
    assert kind_of(tmp_path / "a") == "dicom"
    assert kind_of(tmp_path / "v.nii") == "volume"
    assert kind_of(tmp_path / "notes").startswith("it is neither")


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_dicom_without_preamble_is_cleaned_like_other_dicom(syntax: UID, meta: bool, tmp_path: pathlib.Path) -> None:
    tokens = Tokens()
    dataset = plain_slice()
    dataset.PatientComments = dataset.InstitutionAddress = tokens.text("comment")
    dataset.file_meta.TransferSyntaxUID = syntax
    values = np.frombuffer(dataset.PixelData, "<i2")
    dataset.PixelData = values.astype("<i2" if syntax.is_little_endian else ">i2").tobytes()
    whole = DicomBytesIO()
    whole.is_implicit_VR, whole.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    if meta:
        write_file_meta_info(whole, dataset.file_meta)
    write_dataset(whole, dataset)
    (tmp_path / "IM0001").write_bytes(whole.getvalue())
    outcome = cleaned(tmp_path / "IM0001", tmp_path / "out")
    assert outcome.written, outcome.reason
    data = (tmp_path / "out" / outcome.written).read_bytes()
    assert tokens.found_in(data) == {}
    assert b"quillfeather" not in data.lower()
    back = pydicom.dcmread(io.BytesIO(data))
    assert back.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(back.pixel_array.ravel(), values)


def test_compressed_pixels_of_an_unnamed_kind_are_held_back(tmp_path: pathlib.Path) -> None:
    dataset = plain_slice()
    dataset.compress(RLELossless, generate_instance_uid=False)
    whole = DicomBytesIO()
    whole.is_implicit_VR, whole.is_little_endian = False, True
    write_dataset(whole, dataset)
    (tmp_path / "IM0001").write_bytes(whole.getvalue())
    outcome = cleaned(tmp_path / "IM0001", tmp_path / "out")
    assert (outcome.written, outcome.problem) == (None, True)
    assert outcome.reason == "DICOM: does not tell how its pixels are compressed"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.dcm", bytes(100), "cut off or no DICOM"),
        ("empty.DCM", b"", "cut off or no DICOM"),
        ("letter.dcm", b"Dear colleague", "cut off or no DICOM"),
        ("IM0001", b"\x08\0\x05\0CS", "neither"),
        ("IM0002", b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "no rules are known"),
        ("scan.zip", b"PK\3\4" + bytes(40), "archive: is not opened"),
        ("scan", bytes(257) + b"ustar", "archive: is not opened"),
        ("scan.mhd", b"ObjectType = Image", "another file"),
        ("._a.dcm", b"\0\5\x16\7" + bytes(60), "attributes of another file"),
        ("notes.txt", b"nothing", "neither"),
    ],
)
def test_what_may_hold_images_is_held_back_and_only_the_rest_left_out(
    name: str, content: bytes, reason: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = cleaned(tmp_path / name, tmp_path / "out")
    assert outcome.written is None
    assert reason in outcome.reason
    assert outcome.problem == (reason not in ("neither", "attributes of another file"))
