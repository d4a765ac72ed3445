"""Broken and hostile files: one line each, quickly, in bounded memory, and never a wrong volume."""

from __future__ import annotations

import contextlib
import random
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import BODY, slice_dataset, stack, write_series
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.header import MAX_INFLATED_BYTES, read_header
from med_stylesr.io.source import find_inputs

SPEC = stack(2, shape=(32, 32))


def _set(**values: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                del dataset[keyword]
            else:
                dataset[keyword] = pydicom.DataElement(
                    keyword, pydicom.datadict.dictionary_VR(keyword), value, already_converted=True
                )

    return change


def _raw(tag: int, vr: str, value: bytes) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        key = pydicom.tag.Tag(tag)
        dataset._dict[key] = pydicom.dataelem.RawDataElement(key, vr, len(value), value, 0, False, True)

    return change


BROKEN_HEADERS: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "no pixel spacing": (_set(PixelSpacing=None), "PixelSpacing is missing"),
    "one pixel spacing": (_raw(0x00280030, "DS", b"0.7 "), "PixelSpacing is 0.7"),
    "NaN pixel spacing": (_raw(0x00280030, "DS", b"NaN\\NaN "), "PixelSpacing is NaN"),
    "infinite pixel spacing": (_raw(0x00280030, "DS", b"inf\\0.7 "), "PixelSpacing is inf"),
    "zero pixel spacing": (_raw(0x00280030, "DS", b"0\\0 "), "PixelSpacing is 0"),
    "negative pixel spacing": (_raw(0x00280030, "DS", b"-1\\-1 "), "PixelSpacing is -1"),
    "pixel spacing in words": (_raw(0x00280030, "DS", b"wide\\high "), "PixelSpacing is wide"),
    "absurd pixel spacing": (_raw(0x00280030, "DS", b"1e9\\1e9 "), "PixelSpacing is 1e9"),
    "no position": (_set(ImagePositionPatient=None), "ImagePositionPatient is missing"),
    "position of two": (_raw(0x00200032, "DS", b"1\\2 "), "ImagePositionPatient is 1"),
    "NaN position": (_raw(0x00200032, "DS", b"1\\nan\\3 "), "ImagePositionPatient is 1"),
    "position on the moon": (_raw(0x00200032, "DS", b"1\\2\\4e11 "), "ImagePositionPatient"),
    "no orientation": (_set(ImageOrientationPatient=None), "ImageOrientationPatient is missing"),
    "zero orientation": (_raw(0x00200037, "DS", b"0\\0\\0\\0\\0\\0 "), "perpendicular unit vectors"),
    "skewed orientation": (_raw(0x00200037, "DS", b"1\\0\\0\\1\\0\\0 "), "perpendicular unit vectors"),
    "no rows": (_set(Rows=None), "Rows x Columns is None"),
    "zero columns": (_set(Columns=0), "Rows x Columns is 32 x 0"),
    "absurd rows": (_set(Rows=65535, Columns=65535), "Rows x Columns is 65535"),
    "32 bits": (_set(BitsAllocated=32, BitsStored=32, HighBit=31), "do not fit together"),
    "more bits stored than allocated": (_set(BitsStored=20), "do not fit together"),
    "high bit beyond": (_set(HighBit=16), "do not fit together"),
    "no pixel representation": (_set(PixelRepresentation=None), "PixelRepresentation"),
    "no slope": (_set(RescaleSlope=None), "HU are unknown"),
    "zero slope": (_raw(0x00281053, "DS", b"0 "), "HU are unknown"),
    "NaN intercept": (_raw(0x00281052, "DS", b"nan "), "HU are unknown"),
    "colour": (_set(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "colour picture"),
    "palette": (_set(PhotometricInterpretation="PALETTE COLOR"), "colour picture"),
    "no photometric interpretation": (_set(PhotometricInterpretation=None), "PhotometricInterpretation is missing"),
    "no pixel data": (_set(PixelData=None), "no pixel data"),
    "several frames in one CT image": (_set(NumberOfFrames="3"), "several frames"),
    "no series": (_set(SeriesInstanceUID=None), "SeriesInstanceUID"),
    "no class and no modality": (_set(SOPClassUID=None, Modality=None), "no DICOM image"),
}


def _write(folder: Path, change: Callable[[Dataset], None]) -> Path:
    folder.mkdir(exist_ok=True)
    dataset = slice_dataset(SPEC, BODY, 0)
    change(dataset)
    dataset.preamble = bytes(128)
    path = folder / "0.dcm"
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return path


def _refusal(source: Path) -> str:
    """The one line with which a source is refused, when it is searched or when it is read."""
    with pytest.raises(MedStyleError) as caught, find_inputs(source) as inputs:
        read_volume(inputs.series[0])
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1300
    return line


@pytest.mark.parametrize("name", BROKEN_HEADERS)
def test_broken_headers_are_refused_with_their_reason(tmp_path: Path, name: str) -> None:
    change, reason = BROKEN_HEADERS[name]
    _write(tmp_path / "s", change)
    assert reason in _refusal(tmp_path / "s")


@pytest.mark.parametrize("name", BROKEN_HEADERS)
def test_one_broken_file_does_not_take_the_others_with_it(tmp_path: Path, name: str) -> None:
    write_series(tmp_path / "s" / "good", SPEC, BODY)
    bad = _write(tmp_path / "s" / "bad", BROKEN_HEADERS[name][0])
    with find_inputs(tmp_path / "s") as inputs:
        assert [len(s) for s in inputs.series] == [2]
        assert [s.name for s in inputs.skipped] == [str(bad)]


def test_a_value_of_another_length_than_its_type_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "s", lambda _: None)
    rows = b"\x28\x00\x10\x00US"
    path.write_bytes(path.read_bytes().replace(rows + b"\x02\x00", rows + b"\x03\x00\x01"))
    assert "Rows x Columns" in _refusal(path)


def test_a_file_cut_anywhere_in_its_header_is_told_as_damaged(tmp_path: Path) -> None:
    write_series(tmp_path / "s" / "good", SPEC, BODY)
    path = _write(tmp_path / "s" / "bad", lambda _: None)
    whole = path.read_bytes()
    modality, pixels = whole.index(b"\x08\x00\x60\x00CS"), whole.rindex(b"\xe0\x7f\x10\x00")
    for length in (*range(0, modality, 3), *range(modality, pixels, 7)):
        path.write_bytes(whole[:length])
        with find_inputs(tmp_path / "s") as inputs:
            (skipped,) = inputs.skipped
        assert skipped.problem, (length, skipped.reason)
        assert "export it again" in skipped.reason, (length, skipped.reason)


def test_truncated_pixels_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "s", lambda _: None)
    whole = path.read_bytes()
    for missing in (1, 2, 500, 2047):
        path.write_bytes(whole[:-missing])
        assert "cut off" in _refusal(path)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda u: u.name)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_truncated_compressed_pixels_are_refused_at_once(tmp_path: Path, syntax: str, share: float) -> None:
    dataset = slice_dataset(stack(1, shape=(256, 256), spacing_mm=(0.3, 0.3)), BODY, 0)
    dataset.compress(syntax, generate_instance_uid=False)
    path = tmp_path / "a.dcm"
    dataset.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    start = data.rindex(b"\xe0\x7f\x10\x00")
    path.write_bytes(data[: start + int(share * (len(data) - start))])
    begin = time.monotonic()
    assert "cut off" in _refusal(path) or syntax == RLELossless
    assert time.monotonic() - begin < 2


def test_too_few_pixels_are_refused(tmp_path: Path) -> None:
    def shorten(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[:-100]

    assert "bytes of pixel data where" in _refusal(_write(tmp_path / "s", shorten))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda u: u.name)
def test_compressed_frames_of_another_size_are_refused_before_decoding(tmp_path: Path, syntax: str) -> None:
    def swap(dataset: Dataset) -> None:
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.Rows, dataset.Columns = (64, 32) if syntax == JPEGLSLossless else (32, 32)
        if syntax == RLELossless:
            at = dataset.PixelData.index(struct.pack("<L", 2), 8)
            dataset.PixelData = dataset.PixelData[:at] + struct.pack("<L", 9) + dataset.PixelData[at + 4 :]

    assert "its compressed image says" in _refusal(_write(tmp_path / "s", swap))


def test_a_codestream_that_claims_gigabytes_is_refused_before_decoding(tmp_path: Path) -> None:
    def claim(dataset: Dataset) -> None:
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        at = dataset.PixelData.index(b"\xff\xf7")
        huge = struct.pack(">HH", 65535, 65535)
        dataset.PixelData = dataset.PixelData[: at + 5] + huge + dataset.PixelData[at + 9 :]

    assert "65535 x 65535" in _refusal(_write(tmp_path / "s", claim))


def _deflated(path: Path, body: bytes) -> Path:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    start = pydicom.filebase.DicomBytesIO()
    start.is_little_endian, start.is_implicit_VR = True, False
    pydicom.filewriter.write_file_meta_info(start, meta, enforce_standard=False)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflater.compress(body) + deflater.flush()
    path.write_bytes(bytes(128) + b"DICM" + start.getvalue() + packed)
    return path


def test_a_deflate_bomb_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med_stylesr.io.header.MAX_INFLATED_BYTES", 8 << 20)
    assert MAX_INFLATED_BYTES <= 1 << 30
    body = b"\x08\x00\x60\x00CS\x02\x00CT" + b"\x09\x00\x10\x10OB\0\0" + struct.pack("<L", 200 << 20) + bytes(200 << 20)
    bomb = _deflated(tmp_path / "bomb.dcm", body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="inflates to more"):
        read_header(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_damaged_deflate_streams_are_refused(tmp_path: Path) -> None:
    path = _deflated(tmp_path / "a.dcm", b"\x08\x00\x60\x00CS\x02\x00CT" * 50)
    path.write_bytes(path.read_bytes()[:-20] + b"\xff" * 40)
    with pytest.raises(InputError):
        read_header(path)


@pytest.mark.parametrize("explicit_length", [True, False])
@pytest.mark.parametrize("private", [True, False])
def test_20000_sequences_in_each_other_are_refused(tmp_path: Path, explicit_length: bool, private: bool) -> None:
    tag = b"\x09\x00\x10\x10" if private else b"\x08\x00\x15\x11"
    inner = b""
    if explicit_length:
        for _ in range(20_000):
            item = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(inner)) + inner
            inner = tag + b"SQ\0\0" + struct.pack("<L", len(item)) + item
            if len(inner) > 60_000:
                break
    else:
        opened = tag + b"SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
        inner = opened * 20_000 + (b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)) * 20_000
    path = _write(tmp_path / "s", lambda _: None)
    data = path.read_bytes()
    at = data.index(b"\x10\x00\x10\x00PN")
    path.write_bytes(data[:at] + inner + data[at:])
    start = time.monotonic()
    if explicit_length and private:
        assert read_header(path).header.PatientID == "PH-1", "private sequences are skipped whole"
    else:
        assert "nested too deeply" in _refusal(path)
    assert time.monotonic() - start < 5


def test_huge_header_values_are_not_kept(tmp_path: Path) -> None:
    path = _write(tmp_path / "s", _raw(0x00104000, "LT", b"x" * 200_000))
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(path)
        dataset.add_new(0x00091001, "OB", bytes(500_000))
        dataset.add_new(0x00104000, "UT", "x" * 300_000)
        dataset.save_as(path)
    header = read_header(path).header
    assert "PatientComments" not in header
    assert sum(len(e.value or b"") for e in header._dict.values() if hasattr(e, "is_raw") and e.is_raw) < 50_000


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1_000_000))
def test_random_damage_gives_one_line_or_a_whole_volume(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)
    dataset = slice_dataset(SPEC, BODY, 0)
    if rng.random() < 0.5:
        dataset.compress(rng.choice([RLELossless, JPEGLSLossless]), generate_instance_uid=False)
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "0.dcm"
    dataset.save_as(path, enforce_file_format=True)
    data = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "cut", "zero", "splice", "noise"])
    at = rng.randrange(len(data))
    if kind == "flip":
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + rng.randint(1, 400)] = bytes(min(rng.randint(1, 400), len(data) - at))
    elif kind == "splice":
        other = rng.randrange(len(data))
        data[at:at] = data[other : other + rng.randint(1, 300)]
    else:
        data[at : at + 64] = rng.randbytes(64)
    path.write_bytes(data)
    start = time.monotonic()
    hu = np.zeros((1, 1, 1))
    with contextlib.suppress(UsageError, InputError), find_inputs(folder) as inputs:
        hu = read_volume(inputs.series[0]).hu
    assert np.isfinite(hu).all()
    assert time.monotonic() - start < 5
    assert path.read_bytes() == data, "input is never written to"
