"""A NIfTI result lies where its source lay, whether a program looks at the sform or at the qform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from med_stylesr.geometry import lps_to_ras
from med_stylesr.io.nifti_frames import NiftiFrames, frames_file
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

QFORM = np.array([[0.7, 0, 0, -100], [0, 0.7, 0, 20], [0, 0, 2, -300], [0, 0, 0, 1.0]])
TURN = np.array([[0.8, -0.6, 0, 12], [0.6, 0.8, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1.0]])
"""Into another space, as a registration writes it into the sform."""


def nifti(path: Path, sform: Any, qform: Any, codes: tuple[int, int], shape: tuple[int, ...] = (7, 6, 5)) -> Path:
    image = nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 100, None)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    nibabel.save(image, path)
    return path


def forms(path: Path) -> list[tuple[Any, int]]:
    header = nibabel.load(path).header
    return [header.get_sform(coded=True), header.get_qform(coded=True)]


def refined(volume: CTVolume, scale: tuple[int, int, int]) -> CTVolume:
    hu = volume.hu
    for axis, factor in enumerate(scale):
        hu = hu.repeat(factor, axis)
    return volume.with_hu(hu, volume.grid.super_resolved(scale).affine, enhanced={})


@pytest.mark.parametrize("scale", [(1, 1, 1), (1, 2, 2), (3, 1, 1)])
def test_both_transforms_take_part_in_every_change_of_the_grid(tmp_path: Path, scale: tuple[int, int, int]) -> None:
    source = nifti(tmp_path / "a.nii", TURN @ QFORM, QFORM, (2, 1))
    write_volume_file(refined(read_volume_file(source), scale), tmp_path / "b.nii.gz")
    for (before, code), (after, code_after) in zip(forms(source), forms(tmp_path / "b.nii.gz"), strict=True):
        assert code_after == code
        edge, inner = np.array([-0.5, -0.5, -0.5, 1]), np.array([6.5, 2.5, 1.5, 1])
        for point in (edge, inner):
            moved = (point[:3] + 0.5) * scale[::-1] - 0.5
            assert np.allclose(after @ (*moved, 1), before @ point, atol=1e-3)


@pytest.mark.parametrize("codes", [(2, 0), (0, 1), (1, 4)])
def test_codes_stay_as_they_were(tmp_path: Path, codes: tuple[int, int]) -> None:
    source = nifti(tmp_path / "a.nii", QFORM, QFORM, codes)
    write_volume_file(refined(read_volume_file(source), (1, 2, 2)), tmp_path / "b.nii")
    assert tuple(code for _, code in forms(tmp_path / "b.nii")) == codes
    assert np.allclose(nibabel.load(tmp_path / "b.nii").affine[:3, :3], QFORM[:3, :3] * (0.5, 0.5, 1), atol=1e-5)
    assert nibabel.load(tmp_path / "b.nii").header.get_zooms() == pytest.approx((0.35, 0.35, 2))


def test_a_source_in_metres_gives_both_in_millimetres(tmp_path: Path) -> None:
    metres = np.diag([0.001, 0.001, 0.001, 1])
    nifti(tmp_path / "a.nii", metres @ TURN @ QFORM, metres @ QFORM, (2, 1))
    image = nibabel.load(tmp_path / "a.nii")
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "metres.nii")
    write_volume_file(read_volume_file(tmp_path / "metres.nii"), tmp_path / "b.nii")
    (sform, _), (qform, _) = forms(tmp_path / "b.nii")
    assert np.allclose(sform, TURN @ QFORM, atol=1e-3)
    assert np.allclose(qform, QFORM, atol=1e-3)


def test_only_transforms_that_disagree_are_a_warning(tmp_path: Path) -> None:
    alike = read_volume_file(nifti(tmp_path / "a.nii", QFORM, QFORM, (1, 1)))
    assert alike.provenance["warnings"] == ()
    apart = read_volume_file(nifti(tmp_path / "b.nii", TURN @ QFORM, QFORM, (2, 1)))
    (warning,) = apart.provenance["warnings"]
    assert "sform and qform" in warning
    assert np.allclose(apart.affine, lps_to_ras(TURN @ QFORM), atol=1e-4)


def test_a_quaternion_that_is_none_does_not_stop_a_volume_with_an_sform(tmp_path: Path) -> None:
    source = nifti(tmp_path / "a.nii", QFORM, QFORM, (1, 1))
    data = bytearray(source.read_bytes())
    data[256:268] = np.array([3, 3, 3], "<f4").tobytes()
    source.write_bytes(data)
    write_volume_file(read_volume_file(source), tmp_path / "b.nii")
    (sform, code), (qform, _) = forms(tmp_path / "b.nii")
    assert code == 1
    assert np.allclose(sform, QFORM)
    assert qform is None


def test_frames_keep_both_transforms_too(tmp_path: Path) -> None:
    frames = NiftiFrames(nifti(tmp_path / "a.nii.gz", TURN @ QFORM, QFORM, (2, 1), (7, 6, 5, 2)))
    first = frames.frame(0)
    assert "sform and qform" in first.provenance["warnings"][0]
    with frames_file(tmp_path / "b.nii.gz", first.grid, 2, frames.seconds, frames.forms) as append:
        for t in range(2):
            append(frames.frame(t).hu)
    for (before, code), (after, code_after) in zip(
        forms(tmp_path / "a.nii.gz"), forms(tmp_path / "b.nii.gz"), strict=True
    ):
        assert code_after == code
        assert np.allclose(after, before, atol=1e-4)
