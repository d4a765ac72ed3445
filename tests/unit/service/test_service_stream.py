"""Streams: every frame, in order and in place, under one strength, with flicker measured truly."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
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
from med_stylesr.service import stream_dicom
from med_stylesr.service.dynamic import dynamic_scans
from med_stylesr.service.flicker import Flicker
from med_stylesr.service.jobs import enhance_series
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream import stream, stream_file

SHAPE = (3, 40, 48)
SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "manifest.schema.json"


def settings(strength: float | None, scale: tuple[int, int, int] = (1, 1, 1)) -> EnhanceSettings:
    options = EnhanceOptions(scale=scale, request=StrengthRequest(strength=strength))
    return EnhanceSettings(
        options, None, BUNDLE_2D, "cpu", "auto", None, None, False, False, 1, runtime="torch", precision="float32"
    )


def told(dest: Path) -> list[dict[str, Any]]:
    """The entries of a manifest, which fits its schema."""
    whole = json.loads((dest / "manifest.json").read_text())
    jsonschema.validate(whole, json.loads(SCHEMA.read_text()))
    return list(whole["series"])


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
    with pytest.raises(InputError, match="frame 3 of 4 cannot be read"):
        stream_file(path, tmp_path / "out", settings(0.0), lambda line: None)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".nii"] == []
    (entry,) = told(tmp_path / "out")
    assert (entry["source"], entry["status"]) == ("cut.nii", "failed")
    assert "frame 3 of 4 cannot be read" in entry["reason"]


def test_one_frame_has_no_flicker_to_tell(tmp_path: Path) -> None:
    path, lines = tmp_path / "one.nii", list[str]()
    cine(path, 1)
    stream(path, tmp_path / "out", settings(0.5), lines.append)
    assert lines[-1] == "from frame to frame: one frame only, so no flicker to tell"


def dynamic_folder(folder: Path, frames: int, keyword: str, values: list[Any], **header: object) -> Path:
    """Phases of one series, 20 HU brighter each, written in reverse order of time."""
    for t in reversed(range(frames)):
        spec = phantoms.stack(3, step_mm=5.0, spacing_mm=(0.8, 0.8), shape=(40, 48))
        times = {keyword: values[t], **header}
        scene = phantoms.Scene(background_hu=40.0 + 20 * t)
        for k in range(3):
            one = phantoms.slice_dataset(spec, scene, k, **times)
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
    entries = told(tmp_path / "out")
    times = [(one["status"], one["facts"]["frame"], one["facts"]["frames"]) for one in entries]
    assert times == [("done", 1, 3), ("done", 2, 3), ("done", 3, 3)]
    assert {one["facts"]["strength"] for one in entries} == {0.5}
    assert entries[2]["facts"]["flicker"]["brightness_added_hu"] < 0.5
    outputs = [folder for one in entries for folder in one["outputs"]]
    assert [line.split(" (")[0] for line in lines[:3]] == ["frame 1/3", "frame 2/3", "frame 3/3"]
    assert all("slices/s" in line for line in lines[:3])
    assert lines[3].startswith("from frame to frame")
    moments = []
    for folder in outputs:
        files = [pydicom.dcmread(path) for path in sorted((tmp_path / "out" / folder).iterdir())]
        assert len(files) == 3
        assert {one.ImageType[0] for one in files} == {"DERIVED"}
        (moment,) = {int(one.TemporalPositionIdentifier) for one in files}
        moments.append((moment, round(float(files[1].pixel_array.mean()), -1)))
    assert moments == [(1, 40), (2, 60), (3, 80)]
    assert len({Path(folder).name for folder in outputs}) == 3


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
    entries = told(dest)
    assert {entry["source"] for entry in entries} == {"first.nii", "second.nii"}
    assert [entry["status"] for entry in entries] == ["done", "done"]


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


def three_phases(folder: Path) -> Path:
    return dynamic_folder(folder, 3, "TemporalPositionIdentifier", ["1", "2", "3"])


def test_a_phase_without_a_slice_and_a_broken_file_are_told_and_fail(tmp_path: Path) -> None:
    source, lines = three_phases(tmp_path / "in"), list[str]()
    (source / "1_2.dcm").write_bytes(b"no longer DICOM")
    assert stream(source, tmp_path / "out", settings(0.5), lines.append) == 1
    entries = told(tmp_path / "out")
    assert [one["facts"]["frames"] for one in entries if one["status"] == "done"] == [2, 2]
    broken, phase = (one for one in entries if one["status"] == "failed")
    assert broken["source"].endswith("1_2.dcm")
    assert "TemporalPositionIdentifier 3" in phase["source"]
    assert "has other slices than the other phases (2, not 3)" in phase["reason"]
    assert [line.split(":")[0] for line in lines[:2]] == ["failed", "failed"]


def test_resume_does_a_deleted_phase_again_and_no_other(tmp_path: Path) -> None:
    source, dest, lines = three_phases(tmp_path / "in"), tmp_path / "out", list[str]()
    stream(source, dest, settings(0.5), lines.append)
    before = told(dest)
    assert [one["facts"]["frame"] for one in before] == [1, 2, 3]
    shutil.rmtree(dest / before[1]["outputs"][0])
    kept = [(dest / before[k]["outputs"][0]).stat().st_mtime_ns for k in (0, 2)]
    lines.clear()
    assert stream(source, dest, settings(0.5), lines.append, resume=True) == 0
    assert [line.endswith("done by an earlier run") for line in lines] == [True, False, True, False]
    after = told(dest)
    assert [one["outputs"] for one in after] == [one["outputs"] for one in before]
    assert [(dest / after[k]["outputs"][0]).stat().st_mtime_ns for k in (0, 2)] == kept
    for one, other in zip(after, before, strict=True):
        assert one["facts"]["flicker"] == pytest.approx(other["facts"]["flicker"], abs=0.05)
    lines.clear()
    assert stream(source, dest, settings(0.5), lines.append, resume=True) == 0
    assert len(lines) == 1


def test_resume_finishes_a_series_of_which_a_phase_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, dest, lines = three_phases(tmp_path / "in"), tmp_path / "out", list[str]()

    def failing(phase: Any, *rest: Any, **named: Any) -> Any:
        if phase.part.endswith("2"):
            raise InputError(phase.name, "a slice is damaged")
        return enhance_series(phase, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(stream_dicom, "enhance_series", failing)
        assert stream(source, dest, settings(0.5), lines.append) == 1
    assert [one["status"] for one in told(dest)] == ["done", "failed", "done"]
    assert lines[1].startswith("failed: frame 2/3")
    assert stream(source, dest, settings(0.5), lines.append, resume=True) == 0
    assert [one["status"] for one in told(dest)] == ["done", "done", "done"]
    assert told(dest)[2]["facts"]["flicker"]["frame_to_frame_after_hu"] is not None


def test_phases_of_unequal_noise_get_the_strength_of_the_first(tmp_path: Path) -> None:
    """Strengths of their own would make a vessel look brighter in one phase than in the next."""
    source = three_phases(tmp_path / "in")
    for path in source.iterdir():
        one = pydicom.dcmread(path)
        sd = 12.0 * int(one.TemporalPositionIdentifier)
        noise = np.random.default_rng(int(one.InstanceNumber)).normal(0, sd, one.pixel_array.shape)
        one.PixelData = (one.pixel_array + noise.round()).astype(one.pixel_array.dtype).tobytes()
        one.save_as(path, enforce_file_format=True)
    asked = settings(None)
    asked = replace(asked, options=replace(asked.options, request=StrengthRequest(target_noise_hu=8.0)))
    lines: list[str] = []
    assert stream(source, tmp_path / "out", asked, lines.append) == 0
    strengths = [one["facts"]["strength"] for one in told(tmp_path / "out")]
    assert len(strengths) == 3
    assert 0.1 < strengths[0] < 0.9
    assert len(set(strengths)) == 1
