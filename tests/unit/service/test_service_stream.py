"""Streams: every frame, in order and in place, under one strength, with flicker measured truly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import phantoms
import pydicom
import pytest
from pydicom.uid import generate_uid

from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.nifti_frames import NiftiFrames
from med_stylesr.io.source import find_inputs
from med_stylesr.service.dynamic import dynamic_scans
from med_stylesr.service.flicker import Flicker
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream import stream, stream_file

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
    assert [line.split(":")[0] for line in lines] == ["frame 1/3", "frame 2/3", "frame 3/3", "from frame to frame"]
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
        stream(tmp_path / "scan.nrrd", tmp_path / "out", settings(0.0), lambda line: None)


def test_a_frame_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "cut.nii"
    cine(path, 4)
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(InputError, match="frame"):
        stream_file(path, tmp_path / "out", settings(0.0), lambda line: None)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".nii"] == []


def dynamic_folder(folder: Path, frames: int, keyword: str, values: list[Any], **header: object) -> Path:
    """Phases of one series, 20 HU brighter each, written in reverse order of time."""
    for t in reversed(range(frames)):
        spec = phantoms.stack(3, step_mm=5.0, spacing_mm=(0.8, 0.8), shape=(40, 48))
        told = {keyword: values[t], **header}
        scene = phantoms.Scene(background_hu=40.0 + 20 * t)
        for k in range(3):
            one = phantoms.slice_dataset(spec, scene, k, **told)
            one.InstanceNumber = 3 * t + k + 1
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            folder.mkdir(exist_ok=True)
            one.save_as(folder / f"{frames - t}_{k}.dcm", enforce_file_format=True)
    return folder


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", ["2", "9", "10"]),
        ("AcquisitionTime", ["095959.5", "100000", "100001.25"]),
        ("TriggerTime", ["0", "80.5", "400"]),
        ("NominalPercentageOfCardiacPhase", [5.0, 40.0, 75.0]),
    ],
)
def test_phases_of_a_dicom_series_are_found_in_order_of_time(tmp_path: Path, keyword: str, values: list[Any]) -> None:
    with find_inputs(dynamic_folder(tmp_path / "in", 3, keyword, values)) as inputs:
        (scan,) = dynamic_scans(list(reversed(inputs.series)))
        assert [read_slices(phase, 0, 1).mean() for phase in scan] == pytest.approx([40, 60, 80])


def test_reconstructions_of_one_moment_are_not_dynamic(tmp_path: Path) -> None:
    folder = dynamic_folder(tmp_path / "in", 2, "ConvolutionKernel", ["SOFT", "SHARP"], AcquisitionTime="100000")
    with find_inputs(folder) as inputs:
        assert len(inputs.series) == 2
        assert dynamic_scans(inputs.series) == []


def test_dicom_phases_become_derived_series_under_one_strength(tmp_path: Path) -> None:
    source = dynamic_folder(tmp_path / "in", 3, "TemporalPositionIdentifier", ["1", "2", "3"])
    lines: list[str] = []
    assert stream(source, tmp_path / "out", settings(0.5), lines.append) == 0
    entry = json.loads((tmp_path / "out" / "manifest.json").read_text())["series"][0]
    assert (entry["status"], entry["facts"]["frames"], entry["facts"]["strength"]) == ("done", 3, 0.5)
    assert entry["facts"]["flicker"]["brightness_added_hu"] < 0.5
    assert [line.split(" (")[0] for line in lines[:3]] == ["frame 1/3", "frame 2/3", "frame 3/3"]
    assert all("slices/s" in line for line in lines[:3])
    assert lines[3].startswith("from frame to frame")
    moments = []
    for folder in entry["outputs"]:
        files = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / folder).iterdir())]
        assert len(files) == 3
        assert {one.ImageType[0] for one in files} == {"DERIVED"}
        (moment,) = {int(one.TemporalPositionIdentifier) for one in files}
        moments.append((moment, round(float(files[1].pixel_array.mean()), -1)))
    assert moments == [(1, 40), (2, 60), (3, 80)]
    assert len({Path(folder).name for folder in entry["outputs"]}) == 3


def test_a_series_of_one_phase_gets_one_helpful_line(tmp_path: Path) -> None:
    source = dynamic_folder(tmp_path / "in", 1, "TemporalPositionIdentifier", ["1"])
    with pytest.raises(UsageError, match=r"no series of several phases.*leave --stream out"):
        stream(source, tmp_path / "out", settings(0.5), lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_stream_into_a_used_folder_keeps_the_record_of_what_lies_there(tmp_path: Path) -> None:
    cine(tmp_path / "first.nii", 2)
    cine(tmp_path / "second.nii", 2)
    dest, lines = tmp_path / "out", list[str]()
    stream(tmp_path / "first.nii", dest, settings(0.5), lines.append)
    stream(tmp_path / "second.nii", dest, settings(0.5), lines.append, resume=True)
    told = json.loads((dest / "manifest.json").read_text())
    assert {entry["source"] for entry in told["series"]} == {"first.nii", "second.nii"}
    assert told["counts"]["done"] == 2


def test_resume_does_not_stream_again_what_is_done_but_what_was_asked_otherwise(tmp_path: Path) -> None:
    cine(tmp_path / "cine.nii", 2)
    dest, lines = tmp_path / "out", list[str]()
    stream(tmp_path / "cine.nii", dest, settings(0.5), lines.append)
    written = (dest / "cine.nii").stat().st_mtime_ns
    stream(tmp_path / "cine.nii", dest, settings(0.5), lines.append, resume=True)
    assert lines[-1] == "cine.nii: done by an earlier run"
    assert (dest / "cine.nii").stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="exists"):
        stream(tmp_path / "cine.nii", dest, settings(1.0), lines.append, resume=True)
