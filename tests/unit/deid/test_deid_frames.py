"""Bits that carry no value of a pixel: what stands in them does not pass, whatever the pixels are compressed with."""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import pytest
from deid_slices import clean, draw, phantom
from deid_tokens import plain_slice, round_trip
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from med_stylesr.deid import Harvest, load_profile
from med_stylesr.deid.verify import search_for, verify_file
from med_stylesr.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")
COMPRESSIONS = [RLELossless, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless]


def twelve_bits(signed: bool, bits: int = 0) -> np.ndarray:
    """A slice that uses 12 of its 16 bits, the others repeating the sign; `bits` are turned where text is drawn."""
    image = np.clip(phantom(128), -1024, 2047)
    stored = (image if signed else image + 1024).astype("<i2" if signed else "<u2")
    _, ink = draw(np.zeros_like(image), "DOE 12345", 20, 20, 1, 0)
    stored.view("<u2")[ink] ^= bits
    return stored


def compressed(image: np.ndarray, syntax: str, precision: int = 16) -> Dataset:
    """A slice of which so many bits are compressed, under a header that tells of 12."""
    dataset = plain_slice(image.shape[0])
    dataset.PixelRepresentation = int(image.dtype.kind == "i")
    dataset.PixelData = image.tobytes()
    dataset.BitsStored, dataset.HighBit = precision, precision - 1
    if syntax == JPEGLosslessSV1:
        frame = jpeg_lossless(image, precision)
        dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 12, 11
    return round_trip(dataset)


def jpeg_lossless(image: np.ndarray, precision: int = 16) -> bytes:
    """A JPEG frame of process 14, selection value 1; pydicom has no encoder. All codes have five bits."""
    samples = image.view("<u2").astype(np.int64)
    before = np.concatenate([samples[:, :1], samples[:, :-1]], axis=1)
    before[1:, 0], before[0, 0] = samples[:-1, 0], 1 << (precision - 1)
    code = ""
    for step in ((samples - before + 32768) % 65536 - 32768).ravel().tolist():
        size = abs(step).bit_length()
        code += f"{size:05b}"
        code += f"{step if step > 0 else step + (1 << size) - 1:0{size}b}" if 0 < size < 16 else ""
    code += "1" * (-len(code) % 8)
    scan = int(code, 2).to_bytes(len(code) // 8, "big").replace(b"\xff", b"\xff\0")
    lengths = bytes([0, 0, 0, 0, 17, *[0] * 11])
    segments = (
        (0xC3, struct.pack(">BHHB", precision, *image.shape, 1) + bytes([1, 0x11, 0])),
        (0xC4, b"\0" + lengths + bytes(range(17))),
        (0xDA, bytes([1, 1, 0, 1, 0, 0])),
    )
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", COMPRESSIONS)
def test_text_in_unused_bits_does_not_pass_compressed(syntax: str, signed: bool, tmp_path: pathlib.Path) -> None:
    dataset = compressed(twelve_bits(signed, 0x8000), syntax)
    for profile in ("basic", "share-minimal"):
        with pytest.raises(InputError, match="unused bits"):
            clean(dataset, profile)
    dataset.save_as(tmp_path / "a.dcm")
    leaks = verify_file(tmp_path / "a.dcm", search_for(Harvest(), load_profile("basic")))
    assert leaks == ["unused bits of its pixel data"]
    dataset.add_new(0x60000102, "US", 15)
    out = clean(dataset, "basic")
    assert out.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert out.PixelData == twelve_bits(signed).tobytes()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", COMPRESSIONS)
def test_compressed_pixels_with_nothing_in_unused_bits_stay_as_they_are(syntax: str, signed: bool) -> None:
    dataset = compressed(twelve_bits(signed), syntax)
    out = clean(dataset, "basic")
    assert out.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(out.pixel_array, twelve_bits(signed))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1])
def test_signs_that_are_left_to_the_reader_are_no_hidden_bits(syntax: str) -> None:
    image = twelve_bits(signed=True)
    dataset = compressed(image.view("<u2") & 0xFFF, syntax, 12)
    dataset.PixelRepresentation = 1
    out = clean(dataset, "basic")
    assert out.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(out.pixel_array, image)


def test_signs_that_are_left_to_the_reader_in_some_pixels_could_be_writing() -> None:
    image = twelve_bits(signed=True).view("<u2")
    image[:, ::2] &= 0xFFF
    dataset = compressed(image, RLELossless)
    dataset.PixelRepresentation = 1
    with pytest.raises(InputError, match="unused bits"):
        clean(dataset, "basic")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_encoders_leave_bits_above_the_precision_out(syntax: str, signed: bool) -> None:
    out = clean(compressed(twelve_bits(signed, 0x8000), syntax, 12), "basic")
    assert out.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(out.pixel_array, twelve_bits(signed))


def test_an_overlay_in_unused_bits_does_not_hide_text_in_the_others() -> None:
    image, _ = draw(twelve_bits(signed=False), "DOE JOHN 12345", 60, 10, 2500, 0)
    image[90:] |= 0x8000
    dataset = plain_slice(128)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.add_new(0x60000102, "US", 15)
    dataset.PixelData = image.tobytes()
    with pytest.raises(InputError, match="burned in"):
        clean(round_trip(dataset), "basic")


def test_unused_bits_are_cleared_where_an_overlay_was_and_refused_elsewhere() -> None:
    dataset = plain_slice()
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    values = np.arange(64 * 64, dtype="<u2") % 4096
    dataset.PixelData = (values | 0x8000).tobytes()
    with pytest.raises(InputError, match="unused bits"):
        clean(round_trip(dataset), "basic")
    dataset.add_new(0x60000102, "US", 15)
    out = clean(round_trip(dataset), "basic")
    assert np.array_equal(np.frombuffer(out.PixelData, "<u2"), values)
