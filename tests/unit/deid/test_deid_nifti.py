"""NIfTI headers: numbers of ordinary scans pass although their bytes can be printable, and text among them does not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from deid_tokens import Tokens, mha_with_tokens, nrrd_with_tokens

from med_stylesr.deid.volumes import clean_volume_header
from med_stylesr.errors import InputError

VOXELS = bytes(range(16))
PLACES = (56, *range(76, 140, 4), *range(256, 328, 4))
TEXTS = (b"Quillfeather", b"SMITHERS^WAYLON", b"MRN7734951", b"1959-03-12", b"19590312", b"Zebediah", b"Dr. Brandt")


def nifti(
    spacing: Sequence[float],
    affine: np.ndarray,
    order: str = "<",
    quaternion: Sequence[float] = (0, 0, 0),
    codes: tuple[int, int, int] = (0, 1, 1),
) -> bytearray:
    """A NIfTI-1 file of 2 x 2 x 2 voxels; `codes` are of intent, qform and sform."""
    data = bytearray(352)
    for form, at, values in (
        ("i", 0, [348]), ("8h", 40, [3, 2, 2, 2, 1, 1, 1, 1]), ("hhh", 68, [codes[0], 4, 16]),
        ("8f", 76, [1, *spacing, 0, 0, 0, 0]), ("3f", 108, [352, 1, 0]), ("hh", 252, codes[1:]),
        ("6f", 256, [*quaternion, *affine[:3, 3]]), ("12f", 280, affine[:3].ravel()),
    ):  # fmt: skip
        struct.pack_into(order + form, data, at, *values)
    data[344:348] = b"n+1\0"
    return data + VOXELS


def axial(spacing: float) -> np.ndarray:
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = 180.3, 171.65 - 3 * spacing, -37 * spacing
    return affine


def turned(rng: np.random.Generator, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A random oblique affine and its quaternion."""
    a, b, c, d = quaternion = (lambda q: q / np.linalg.norm(q) * np.sign(q[0]))(rng.normal(size=4))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, rng.uniform(-500, 500, 3)
    return affine, quaternion[1:]


@pytest.mark.parametrize("order", "<>")
def test_every_ordinary_spacing_passes_with_its_geometry(order: str) -> None:
    for spacing in np.arange(10, 1000) / 100:
        source = nifti([spacing] * 3, axial(spacing), order)
        cleaned = clean_volume_header(bytes(source), ".nii")
        assert cleaned[80:92] == source[80:92]
        assert cleaned[252:328] == source[252:328]
        assert cleaned[352:] == VOXELS


def test_oblique_geometries_of_arbitrary_digits_pass() -> None:
    rng = np.random.default_rng(5)
    for number in range(500):
        spacing = rng.uniform(0.3, 5, 3)
        affine, quaternion = turned(rng, spacing)
        source = nifti(spacing, affine, "<>"[number % 2], quaternion)
        cleaned = clean_volume_header(bytes(source), ".nii")
        assert struct.unpack("<>"[number % 2] + "12f", cleaned[280:328]) == pytest.approx(affine[:3].ravel(), abs=1e-4)


def test_noise_of_a_rotation_is_rounded_where_its_bytes_could_be_digits() -> None:
    noisy = axial(0.7)
    noisy[0, 1] = struct.unpack("<f", b"1234")[0]
    cleaned = clean_volume_header(bytes(nifti([0.7] * 3, noisy)), ".nii")
    assert b"1234" not in cleaned
    assert struct.unpack("<12f", cleaned[280:328]) == pytest.approx(axial(0.7)[:3].ravel(), abs=1e-5)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("order", "<>")
def test_text_in_any_number_is_refused_or_gone(text: bytes, order: str) -> None:
    refused = 0
    for codes in ((0, 1, 1), (3, 1, 1), (0, 0, 1), (0, 0, 0)):
        for at in PLACES:
            if at + len(text) > 328:
                continue
            data = nifti([0.7] * 3, axial(0.7), order, codes=codes)
            data[at : at + len(text)] = text
            try:
                cleaned = clean_volume_header(bytes(data), ".nii")
            except InputError:
                refused += 1
            else:
                assert text not in cleaned, (codes, at)
    assert refused


def test_numbers_that_nothing_uses_are_emptied() -> None:
    data = nifti([0.7] * 3, axial(0.7), codes=(0, 0, 0))
    for begin, end in ((56, 68), (48, 56), (92, 108), (256, 328)):
        data[begin:end] = b"S" * (end - begin)
    cleaned = clean_volume_header(bytes(data), ".nii")
    assert b"SS" not in cleaned
    assert struct.unpack("<8h", cleaned[40:56]) == (3, 2, 2, 2, 1, 1, 1, 1)


def damaged(packed: bytes) -> bytes:
    return packed[:-6] + bytes([packed[-6] ^ 0x55]) + packed[-5:]


def test_damaged_compressed_data_are_told_in_words() -> None:
    header, _, _ = mha_with_tokens(Tokens()).partition(b"LOCAL\n")
    bad = {
        ".mha": header + b"LOCAL\n" + damaged(zlib.compress(np.random.default_rng(1).bytes(128))),
        ".nrrd": nrrd_with_tokens(Tokens()).split(b"\n\n")[0].replace(b"raw", b"gzip") + b"\n\n" + b"no gzip at all",
        ".nii.gz": b"no gzip at all",
    }
    for ending, data in bad.items():
        with pytest.raises(InputError, match=r"volume: its compressed data are damaged$"):
            clean_volume_header(data, ending)


def test_a_packed_volume_without_its_check_sum_is_refused() -> None:
    with pytest.raises(InputError, match="cut off"):
        clean_volume_header(mha_with_tokens(Tokens())[:-2], ".mha")
