"""The main job on whatever a folder holds: every CT scan done, the rest named, nothing of the source touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from phantoms import BODY, GRADIENT, stack, write_series
from service_runs import tree_hash

from med_stylesr.errors import UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

AFFINE = np.array([[0.8, 0, 0, -10], [0, 0.7, 0, 20], [0, 0, 2.5, -300], [0, 0, 0, 1]], dtype=float)


def small_volume(seed: int = 0, dtype: type = np.int16) -> CTVolume:
    hu = np.random.default_rng(seed).integers(-1000, 1500, (3, 32, 32))
    return CTVolume(hu.astype(dtype), AFFINE)


def only_series(folder: Path) -> CTVolume:
    with find_inputs(folder) as inputs:
        assert len(inputs.series) == 1
        return read_volume(inputs.series[0])


def test_each_ct_series_is_done_and_everything_else_is_named_with_its_reason(tmp_path: Path, enhance: Any) -> None:
    source = tmp_path / "in"
    write_series(source / "a", stack(3, shape=(32, 32)), BODY)
    write_series(source / "b", stack(2, shape=(32, 32)), GRADIENT, SeriesDescription="Other")
    write_series(source / "scout", stack(1, shape=(32, 32)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(source / "mr", stack(1, shape=(32, 32)), SOPClassUID=pydicom.uid.MRImageStorage, Modality="MR")
    (source / "notes.txt").write_text("not a scan")
    (broken,) = write_series(source / "broken", stack(1, shape=(32, 32)), BODY)
    broken.write_bytes(broken.read_bytes()[:-700])
    before = tree_hash(source)
    run = enhance(source, tmp_path / "out")
    assert tree_hash(source) == before
    assert run.status == 1
    assert len(run.entries("done")) == 2
    skipped = {Path(e["source"]).name: e["reason"] for e in run.entries("skipped")}
    assert {"notes.txt", "0000.dcm"} <= set(skipped)
    assert all(skipped.values())
    assert str(broken) in run.entries("failed")[0]["reason"]
    assert run.manifest["counts"] == {"done": 2, "failed": 1, "skipped": 3}
    assert len(run.event("skip")) == 3
    assert all(place.is_dir() for place in run.outputs)


def test_a_folder_without_problems_ends_with_status_zero(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in" / "a", stack(1, shape=(32, 32)), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert run.status == 0
    assert run.entries("done")[0]["facts"]["shape"] == [1, 32, 32]


def test_nothing_usable_is_wrong_usage_and_leaves_no_output(tmp_path: Path, enhance: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no scan")
    with pytest.raises(UsageError, match="nothing usable"):
        enhance(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("slices", [1, 37])
def test_strength_zero_gives_a_dicom_series_back_bit_for_bit(tmp_path: Path, enhance: Any, slices: int) -> None:
    write_series(tmp_path / "in" / "a", stack(slices, shape=(32, 28), padding=-2000), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out")
    before, after = only_series(tmp_path / "in"), only_series(run.outputs[0])
    np.testing.assert_array_equal(after.hu, before.hu)
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-6)
    assert len(list(run.outputs[0].iterdir())) == slices


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_strength_zero_gives_a_volume_back_bit_for_bit_in_its_tree(
    tmp_path: Path, enhance: Any, name: str, dtype: type
) -> None:
    source = tmp_path / "in" / "deep" / "er"
    source.mkdir(parents=True)
    write_volume_file(small_volume(dtype=dtype), source / name)
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert run.outputs == [tmp_path / "out" / "deep" / "er" / name]
    before, after = read_volume_file(source / name), read_volume_file(run.outputs[0])
    np.testing.assert_array_equal(after.hu, before.hu)
    assert after.hu.dtype == before.hu.dtype
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


def test_four_axes_are_refused_and_the_others_done(tmp_path: Path, enhance: Any) -> None:
    import nibabel

    source = tmp_path / "in"
    source.mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 3, 2), np.int16), np.eye(4)), source / "cine.nii.gz")
    write_volume_file(small_volume(), source / "ct.nii.gz")
    run = enhance(source, tmp_path / "out")
    assert run.status == 1
    assert "axes" in run.entries("failed")[0]["reason"]
    assert [p.name for p in run.outputs] == ["ct.nii.gz"]


@pytest.mark.parametrize(("format", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd")])
def test_dicom_and_volumes_convert_to_the_format_asked_for(
    tmp_path: Path, enhance: Any, format: str, ending: str
) -> None:
    write_series(tmp_path / "in" / "a", stack(3, shape=(32, 32)), BODY)
    write_volume_file(small_volume(), tmp_path / "in" / "v.mha")
    run = enhance(tmp_path / "in", tmp_path / "out", format=format)
    assert run.status == 0
    assert all(place.name.endswith(ending) for place in run.outputs)
    dicom = next(p for p in run.outputs if p.parent != tmp_path / "out")
    with find_inputs(tmp_path / "in") as inputs:
        truth = read_volume(inputs.series[0])
    np.testing.assert_array_equal(read_volume_file(dicom).hu, truth.hu)
    np.testing.assert_allclose(read_volume_file(dicom).affine, truth.affine, atol=1e-4)


@pytest.mark.parametrize(("name", "result"), [("v.mhd", "v.mha"), ("v.nhdr", "v.nrrd")])
def test_a_detached_header_becomes_one_file_of_its_format(tmp_path: Path, enhance: Any, name: str, result: str) -> None:
    import SimpleITK

    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(small_volume().hu), str(tmp_path / "in" / name))
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert run.status == 0
    assert [place.name for place in run.outputs] == [result]
    np.testing.assert_array_equal(read_volume_file(run.outputs[0]).hu, small_volume().hu)


def test_a_volume_cannot_become_dicom_and_says_so(tmp_path: Path, enhance: Any) -> None:
    write_volume_file(small_volume(), tmp_path / "v.nii.gz")
    run = enhance(tmp_path / "v.nii.gz", tmp_path / "out", format="dicom")
    assert run.status == 1
    assert "no headers" in run.entries("failed")[0]["reason"]


def test_two_inputs_for_one_place_never_overwrite_each_other(tmp_path: Path, enhance: Any) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_volume_file(small_volume(1), source / "v.mha")
    write_volume_file(small_volume(2), source / "v.nii.gz")
    run = enhance(source, tmp_path / "out", format="nrrd", overwrite=True)
    assert run.status == 1
    assert "same place" in run.entries("failed")[0]["reason"]
    np.testing.assert_array_equal(read_volume_file(tmp_path / "out" / "v.nrrd").hu, small_volume(1).hu)


def test_series_with_one_uid_in_two_folders_end_in_places_of_their_own(tmp_path: Path, enhance: Any) -> None:
    """A careless copy gives two patients the same SeriesInstanceUID; neither may vanish."""
    for number, name in enumerate(("one", "two")):
        header = {
            "SeriesInstanceUID": "1.2.3.4",
            "PatientID": f"P{number}",
            "FrameOfReferenceUID": f"1.2.9.{number}",
        }
        write_series(tmp_path / "in" / name, stack(2, shape=(32, 32)), BODY, **header)
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert len(run.outputs) == len(set(run.outputs)) == 2
    assert {p.parent.name for p in run.outputs} == {"P0", "P1"}


def test_a_report_that_fails_is_a_warning_and_the_scan_is_done(
    tmp_path: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError("no picture")

    monkeypatch.setattr("med_stylesr.report.enhance_report.write_enhance_report", broken)
    write_volume_file(small_volume(), tmp_path / "v.nii.gz")
    run = enhance(tmp_path / "v.nii.gz", tmp_path / "out", report=True)
    assert run.status == 0
    assert "no report was written" in run.entries("done")[0]["warnings"][0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["manifest.json", "v.nii.gz"]


def test_the_report_lies_beside_the_result_and_the_manifest_names_it(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in" / "a", stack(3, shape=(64, 64)), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out", report=True)
    folder, page = run.outputs
    assert not run.entries("done")[0]["warnings"]
    assert page == folder.with_name(f"{folder.name}.html")
    assert "<html" in page.read_text()


def test_a_full_disk_fails_the_scan_and_leaves_nothing_half_written(tmp_path: Path, enhance: Any) -> None:
    import resource
    import signal

    write_series(tmp_path / "in" / "a", stack(3, shape=(64, 64)), BODY)
    write_volume_file(small_volume(), tmp_path / "in" / "v.nii")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        run = enhance(tmp_path / "in", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.status == 1
    assert [e["status"] for e in run.manifest["series"]] == ["failed", "failed"]
    assert all("cannot be written" in e["reason"] for e in run.manifest["series"])
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["manifest.json"]


def test_uids_and_pixels_of_two_runs_are_the_same_and_only_creation_times_differ(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in" / "a", stack(2, shape=(32, 32)), BODY)
    runs = [enhance(tmp_path / "in", tmp_path / name) for name in ("one", "two")]
    assert runs[0].outputs[0].name == runs[1].outputs[0].name
    for path in runs[0].outputs[0].iterdir():
        first, second = pydicom.dcmread(path), pydicom.dcmread(runs[1].outputs[0] / path.name)
        for dataset in (first, second):
            for keyword in [e.keyword for e in dataset if e.keyword.endswith(("Date", "Time", "DateTime"))]:
                del dataset[keyword]
            dataset.ContributingEquipmentSequence = []
        assert first == second


def test_events_are_json_and_number_the_scans(tmp_path: Path, enhance: Any) -> None:
    for name in "ab":
        write_series(tmp_path / "in" / name, stack(1, shape=(32, 32)), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert json.loads(json.dumps(run.events)) == run.events
    assert [e["event"] for e in run.events] == [
        "scan", "start", "series", "progress", "done", "series", "progress", "done", "end",
    ]  # fmt: skip
    assert [e["number"] for e in run.event("done")] == [1, 2]
