"""Pixels: text is found, metal is not; comments in compressed frames go, the image stays bit for bit."""

from __future__ import annotations

import pathlib
import struct

import numpy as np
import pydicom
import pytest
from deid_slices import clean, draw, phantom
from deid_tokens import plain_slice, round_trip
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, SecondaryCaptureImageStorage

from med_stylesr.deid.bytesearch import printable_runs
from med_stylesr.deid.codestreams import strip_codestream, strip_rle
from med_stylesr.deid.textmarks import text_boxes
from med_stylesr.deid.visual import face_mask
from med_stylesr.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def object_of(image: np.ndarray) -> Dataset:
    dataset = plain_slice(image.shape[0])
    dataset.PixelData = image.astype("<i2").tobytes()
    return round_trip(dataset)


def test_anatomy_noise_and_clipped_metal_are_no_text() -> None:
    assert text_boxes(phantom()) == []


@pytest.mark.parametrize("size", [0, 10, 12, 16, 24, 40])
@pytest.mark.parametrize("value", [3071, 1500])
@pytest.mark.parametrize(("row", "column"), [(10, 10), (240, 150), (460, 300)])
def test_burned_in_text_is_found_and_covered(size: int, value: int, row: int, column: int) -> None:
    image, ink = draw(phantom(), "DOE JOHN 12345", row, column, value, size)
    covered = np.zeros_like(ink)
    for top, bottom, left, right in text_boxes(image):
        covered[top:bottom, left:right] = True
    assert ink[covered].sum() >= 0.98 * ink.sum()


def test_text_in_a_reconstruction_is_refused_or_blacked_out() -> None:
    image, ink = draw(phantom(), "DOE JOHN 12345", 20, 20, 1500, 0)
    with pytest.raises(InputError, match="burned in"):
        clean(object_of(image), "basic")
    out = clean(object_of(image), "share-minimal")
    assert out.pixel_array[ink].max() < 0
    untouched = np.ones_like(ink)
    untouched[:64, :200] = False
    assert (out.pixel_array == image)[untouched].all()


@pytest.mark.parametrize("change", ["secondary capture", "screen save", "burned in"])
def test_what_may_hold_text_is_refused(change: str) -> None:
    dataset = object_of(phantom(64))
    if change == "secondary capture":
        dataset.SOPClassUID, dataset.ConversionType = SecondaryCaptureImageStorage, "WSD"
    elif change == "screen save":
        dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    else:
        dataset.BurnedInAnnotation = "YES"
    with pytest.raises(InputError, match="refuses"):
        clean(round_trip(dataset), "basic")


def test_identifiers_spelled_by_pixel_bytes_are_found() -> None:
    image = phantom(64)
    image.reshape(-1)[100:106] = np.frombuffer(b"QUILLFEATHER", dtype="<i2")
    with pytest.raises(InputError, match="spell"):
        clean(object_of(image), "basic")


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("length", [5, 6, 7, 13])
def test_printable_runs_are_found_at_every_alignment(offset: int, length: int) -> None:
    data = bytes(9 + offset) + b"ABCDEFG123456"[:length] + b"\xff" * 11
    assert bool(printable_runs(data)) == (length >= 6)


def compressed(syntax: str, comment: bytes) -> tuple[Dataset, np.ndarray]:
    """A compressed slice with a comment put into its codestream."""
    image = np.clip(phantom(128).astype(np.int32) + 1024, 0, 4095).astype("<u2")
    dataset = plain_slice(128)
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 0, 12, 11
    dataset.PixelData = image.tobytes()
    dataset.compress(syntax, generate_instance_uid=False)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    if syntax == RLELossless:
        frame += comment
    elif syntax == JPEG2000Lossless:
        at = frame.index(b"\xff\x52")
        frame = frame[:at] + b"\xff\x64" + struct.pack(">HH", len(comment) + 4, 1) + comment + frame[at:]
    else:
        frame = frame[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + frame[2:]
        frame += comment
    dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
    return round_trip(dataset), image


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_comments_in_compressed_frames_go_and_the_image_stays(syntax: str) -> None:
    pytest.importorskip("openjpeg")
    dataset, image = compressed(syntax, b"SECRETCOMMENT OF SOMEBODY")
    out = clean(dataset, "basic")
    assert b"SECRETCOMMENT" not in out.PixelData
    assert out.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(out.pixel_array, image)


def test_frames_that_cannot_be_followed_are_refused() -> None:
    for frame in (b"GIF89a", b"\xff\xd8\xff\xfe\0\x40", b"\xff\xd8abc", b"\xff\x4f\xff\x51\0\x29"):
        with pytest.raises(InputError):
            strip_codestream(frame)
    with pytest.raises(InputError):
        strip_rle(bytes(64), 100)


def head(rows: int = 256) -> np.ndarray:
    """A head-like slice: skin, skull ring, brain, and a nose at the top (front) of the image."""
    y, x = np.mgrid[:rows, :rows] / rows - 0.5
    hu = np.full((rows, rows), -1000, dtype=np.int16)
    hu[(np.abs(x) < 0.05) & (y > -0.48) & (y < -0.3)] = 30
    for radius, value in ((0.42, 30), (0.39, 900), (0.36, 35)):
        hu[(x / 0.8) ** 2 + y**2 < radius**2] = value
    return hu


def test_the_nose_is_taken_off_and_the_back_of_the_head_stays() -> None:
    hu = head()
    mask = face_mask(hu.astype(np.float32), (0.8, 0.8), (-1, 0))
    assert mask[8:26, 128].all()
    assert not mask[128:].any()
    # Behind a closed skull nothing is taken.
    assert not mask[hu == 35].any()
    opened = np.where((np.indices(hu.shape)[0] < 60) & (hu == 900), 30, hu)
    assert face_mask(opened.astype(np.float32), (0.8, 0.8), (-1, 0))[40, 128]


def test_a_head_is_defaced_and_a_chest_is_left_alone() -> None:
    dataset = plain_slice(256)
    dataset.PixelSpacing = [0.8, 0.8]
    dataset.PixelData = head().astype("<i2").tobytes()
    out = clean(round_trip(dataset), "share-minimal")
    assert out.pixel_array[20, 128] == -1000
    assert out.RecognizableVisualFeatures == "NO"
    assert "113102" in [c.CodeValue for c in out.DeidentificationMethodCodeSequence]
    chest = clean(object_of(phantom()), "share-minimal")
    assert np.array_equal(chest.pixel_array, phantom())


def test_real_slices_are_never_taken_for_text(shared_data: pathlib.Path) -> None:
    paths = sorted(shared_data.glob("*/*.dcm"))[::60]
    assert paths
    for path in paths:
        assert text_boxes(pydicom.dcmread(path).pixel_array) == []
