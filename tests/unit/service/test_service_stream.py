"""Streams: every frame, in order and in place, under one strength, with flicker measured truly."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.bundle import BUNDLE_2D
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.io.nifti_frames import NiftiFrames
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream import Flicker, stream_file

SHAPE = (3, 40, 48)


def settings(strength: float | None, scale: tuple[int, int, int] = (1, 1, 1)) -> EnhanceSettings:
    options = EnhanceOptions(scale=scale, request=StrengthRequest(strength=strength))
    return EnhanceSettings(
        options, None, BUNDLE_2D, "cpu", "auto", None, None, False, False, 1, runtime="torch", precision="float32"
    )


def cine(path: Path, frames: int, noise: float = 30.0) -> np.ndarray:
    """A patient that gets brighter by 20 HU a frame, as under contrast agent; (frames, slices, rows, columns)."""
    random = np.random.default_rng(4)
    hu = np.stack([40 + 20 * t + random.normal(0, noise, SHAPE) for t in range(frames)]).round().astype(np.int16)
    image = nibabel.Nifti1Image(hu.transpose(3, 2, 1, 0), np.diag([0.8, 0.8, 5.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((0.8, 0.8, 5.0, 1.5))
    nibabel.save(image, path)
    return hu


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_strength_zero_gives_every_frame_back_in_its_place(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"perfusion{ending}"
    hu = cine(path, 3)
    stream_file(path, tmp_path / "out", settings(0.0), lambda line: None)
    before, after = nibabel.load(path), nibabel.load(tmp_path / "out" / path.name)
    np.testing.assert_array_equal(np.asanyarray(after.dataobj), hu.transpose(3, 2, 1, 0))
    np.testing.assert_allclose(after.affine, before.affine)
    assert after.header.get_zooms() == before.header.get_zooms()
    assert after.header.get_xyzt_units() == ("mm", "sec")


def test_frames_share_one_strength_and_lose_noise_not_their_contrast(tmp_path: Path) -> None:
    path = tmp_path / "perfusion.nii"
    hu = cine(path, 3)
    lines: list[str] = []
    facts = stream_file(path, tmp_path / "out", settings(None), lines.append)
    frames = NiftiFrames(tmp_path / "out" / path.name)
    assert frames.count == 3
    assert frames.seconds == 1.5
    for t in range(3):
        result = frames.frame(t).hu
        assert result.std() < 0.9 * hu[t].std()
        assert abs(result.mean() - hu[t].mean()) < 0.5
    assert facts["flicker"]["frame_to_frame_after_hu"] < facts["flicker"]["frame_to_frame_before_hu"]
    assert facts["flicker"]["brightness_added_hu"] < 0.5
    assert [line.split(":")[0] for line in lines] == ["frame 1/3", "frame 2/3", "frame 3/3"]
    entry = json.loads((tmp_path / "out" / "manifest.json").read_text())["series"][0]
    assert entry["status"] == "done"
    assert entry["facts"]["frames"] == 3


def test_super_resolved_frames_keep_the_field_of_view(tmp_path: Path) -> None:
    path = tmp_path / "perfusion.nii"
    cine(path, 2)
    stream_file(path, tmp_path / "out", settings(1.0, (1, 2, 2)), lambda line: None)
    result = nibabel.load(tmp_path / "out" / path.name)
    assert result.shape == (96, 80, 3, 2)
    np.testing.assert_allclose(result.affine[:3, :3], np.diag([0.4, 0.4, 5.0]))


def test_flicker_of_pure_noise_is_that_noise_and_a_pulse_is_seen() -> None:
    random = np.random.default_rng(1)
    steady, pulsing = Flicker(), Flicker()
    for t in range(6):
        before = random.normal(40, 20, (2, 128, 128))
        steady.add(before, 40 + (before - 40) / 2)
        pulsing.add(before, before + 5 * (-1) ** t)
    assert steady.facts()["frame_to_frame_before_hu"] == pytest.approx(20, rel=0.03)
    assert steady.facts()["frame_to_frame_after_hu"] == pytest.approx(10, rel=0.03)
    assert steady.facts()["brightness_added_hu"] < 0.2
    assert pulsing.facts()["brightness_added_hu"] == pytest.approx(5, abs=0.01)


def test_a_volume_without_frames_or_another_format_is_refused(tmp_path: Path) -> None:
    single = tmp_path / "single.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 3), np.int16), np.eye(4)), single)
    with pytest.raises(InputError, match="leave --stream out"):
        stream_file(single, tmp_path / "out", settings(0.0), lambda line: None)
    with pytest.raises(UsageError, match="time axis"):
        stream_file(tmp_path / "scan.nrrd", tmp_path / "out", settings(0.0), lambda line: None)


def test_a_frame_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "cut.nii"
    cine(path, 4)
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(InputError, match="frame"):
        stream_file(path, tmp_path / "out", settings(0.0), lambda line: None)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".nii"] == []
