"""Stored values become HU bit by bit right, for every pixel encoding in use."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantoms import BODY, GRADIENT, StackSpec, slice_dataset, stack, write_series
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.pixels import hounsfield
from med_stylesr.io.source import find_inputs

ENCODINGS = {
    "12-bit unsigned": {"bits_stored": 12, "signed": False},
    "12-bit signed": {"bits_stored": 12, "signed": True, "intercept": 0.0},
    "16-bit unsigned": {"bits_stored": 16, "signed": False},
    "16-bit signed": {"bits_stored": 16, "signed": True},
    "16-bit signed, no intercept": {"bits_stored": 16, "signed": True, "intercept": 0.0},
    "13-bit signed": {"bits_stored": 13, "signed": True},
    "slope 2": {"slope": 2.0},
}


def _scene_hu(spec: StackSpec) -> np.ndarray:
    return np.stack([BODY.hu_at(spec.positions(k)) for k in range(len(spec.origins_mm))])


def _read(folder: Path) -> np.ndarray:
    with find_inputs(folder) as inputs:
        return np.asarray(read_volume(inputs.series[0]).hu)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_integer_encoding_gives_the_same_hu(tmp_path: Path, name: str) -> None:
    spec = stack(3, **ENCODINGS[name])
    write_series(tmp_path / "s", spec, BODY)
    hu = _read(tmp_path)
    assert hu.dtype == np.int16
    assert np.array_equal(hu, _scene_hu(spec))


def test_8_bit_pixels(tmp_path: Path) -> None:
    spec = stack(2, bits_stored=8, signed=False, slope=10.0, intercept=-1000.0, dtype_bits=8)
    write_series(tmp_path / "s", spec, BODY)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


def test_bits_beyond_bits_stored_are_no_pixel_data(tmp_path: Path) -> None:
    spec = stack(1, bits_stored=12, signed=False)
    (path,) = write_series(tmp_path / "s", spec, BODY)
    dataset = pydicom.dcmread(path)
    overlay = np.frombuffer(dataset.PixelData, "<u2") | np.uint16(0x7000)
    dataset.PixelData = overlay.tobytes()
    dataset.save_as(path)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


def test_pixels_at_the_high_end_of_the_word(tmp_path: Path) -> None:
    spec = stack(1, bits_stored=12, signed=False)
    (path,) = write_series(tmp_path / "s", spec, BODY)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") << 4).tobytes()
    dataset.HighBit = 15
    dataset.save_as(path)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


def test_rescale_of_each_slice_is_its_own(tmp_path: Path) -> None:
    spec = stack(3, slope=[1.0, 2.0, 1.0], intercept=[-1024.0, 0.0, -512.0])
    write_series(tmp_path / "s", spec, BODY)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


def test_fractions_of_hu_survive(tmp_path: Path) -> None:
    spec = stack(2, slope=0.25, intercept=-1024.5)
    write_series(tmp_path / "s", spec, GRADIENT)
    hu = _read(tmp_path)
    assert hu.dtype == np.float32
    truth = np.stack([GRADIENT.hu_at(spec.positions(k)) for k in range(2)])
    assert np.abs(hu - truth).max() <= 0.126


@pytest.mark.parametrize("padding", [-2000, -976, 4000])
def test_padding_and_metal_pass_through(tmp_path: Path, padding: int) -> None:
    write_series(tmp_path / "s", stack(2, padding=padding, header={"PixelPaddingValue": 0}), BODY)
    assert (_read(tmp_path)[:, 0, 0] == padding - 1024).all()


def test_values_beyond_16_bits_are_kept_as_float() -> None:
    dataset = slice_dataset(stack(1), BODY, 0)
    hu = hounsfield(np.array([[-32768, 5]], np.int16), dataset)
    assert hu.dtype == np.float32
    assert hu.tolist() == [[-33792, -1019]]


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda u: u.name,
)
@pytest.mark.parametrize("bits", [8, 16])
def test_uncompressed_transfer_syntaxes(tmp_path: Path, syntax: UID, bits: int) -> None:
    more = (
        {"bits_stored": 8, "signed": False, "slope": 10.0, "intercept": -1000.0, "dtype_bits": 8} if bits == 8 else {}
    )
    spec = stack(2, **more)
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    for path in write_series(tmp_path / "s", spec, BODY):
        dataset = pydicom.dcmread(path)
        plain = pydicom.Dataset()
        for element in dataset:
            plain.add_new(element.tag, element.VR, element.value)
        plain.file_meta = dataset.file_meta
        plain.file_meta.TransferSyntaxUID = syntax
        if not little:
            swapped = plain.PixelData if bits == 8 else np.frombuffer(plain.PixelData, "<u2").astype(">u2").tobytes()
            plain["PixelData"] = pydicom.DataElement(0x7FE00010, "OB" if bits == 8 else "OW", swapped)
        pydicom.dcmwrite(path, plain, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda u: u.name)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_codecs(tmp_path: Path, syntax: UID, signed: bool, bits: int) -> None:
    spec = stack(
        2,
        shape=(72, 64),
        spacing_mm=(1.2, 1.2),
        signed=signed,
        bits_stored=bits,
        intercept=0.0 if signed and bits == 12 else -1024.0,
    )
    for path in write_series(tmp_path / "s", spec, BODY):
        dataset = pydicom.dcmread(path)
        if signed and bits == 12:
            extended = (np.frombuffer(dataset.PixelData, "<u2") << 4).view("<i2") >> 4
            dataset.PixelData = extended.tobytes()
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


@pytest.mark.parametrize("process", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14"])
@pytest.mark.parametrize("signed", [True, False])
def test_jpeg_lossless(tmp_path: Path, signed: bool, process: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    spec = stack(2, signed=signed)
    for path in write_series(tmp_path / "s", spec, BODY):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == (
            JPEGLosslessSV1 if process.endswith("_1") else JPEGLossless
        )
    assert np.array_equal(_read(tmp_path), _scene_hu(spec))


def test_a_series_survives_pickling_to_another_process(tmp_path: Path) -> None:
    write_series(tmp_path / "s", stack(4), BODY)
    with find_inputs(tmp_path) as inputs:
        (series,) = inputs.series
    again = pickle.loads(pickle.dumps(series))
    assert np.array_equal(read_volume(again).hu, read_volume(series).hu)
    assert again.uid == series.uid


@pytest.mark.parametrize("signed", [True, False])
def test_htj2k_of_another_encoder_is_decoded_bit_for_bit(signed: bool) -> None:
    path = Path(__file__).parents[2] / "data" / "htj2k" / ("signed.dcm" if signed else "unsigned.dcm")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == HTJ2KLossless
    assert np.array_equal(_read(path), _scene_hu(stack(1, shape=(64, 48), signed=signed)))
