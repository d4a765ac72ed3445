"""`--multiframe`: every derived series is one Enhanced CT image, whatever else the run is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_judges import errors_of, series_of
from phantoms import BODY, Scene, enhanced_dataset, stack, write_series
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage
from service_runs import settled

from med_stylesr.errors import UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.service import jobs
from med_stylesr.service.preflight import check_multiframe


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_series(tmp_path / "in" / "a", stack(4, shape=(48, 48)), BODY)
    (tmp_path / "in" / "b").mkdir()
    enhanced_dataset(stack(3, shape=(48, 48), step_mm=-3), BODY, "b").save_as(
        tmp_path / "in" / "b" / "e.dcm", enforce_file_format=True
    )
    return tmp_path / "in"


def test_single_and_multi_frame_sources_become_one_image_each_with_the_same_hu(
    tmp_path: Path, source: Path, enhance: Any
) -> None:
    run = enhance(source, tmp_path / "out", multiframe=True)
    assert run.status == 0
    assert run.manifest["arguments"]["multiframe"] is True
    results = {}
    for place in run.outputs:
        (file,) = place.iterdir()
        assert pydicom.dcmread(file, stop_before_pixels=True).SOPClassUID == EnhancedCTImageStorage
        assert errors_of(file) == []
        volume = read_volume(series_of(file))
        results[len(volume.hu)] = volume
    for name, slices in (("a", 4), ("b", 3)):
        before = read_volume(series_of(source / name))
        assert np.array_equal(results[slices].hu, before.hu)
        assert np.allclose(results[slices].affine, before.affine, atol=1e-4)


def test_a_resumed_run_with_the_option_does_not_take_single_frames_for_done(
    tmp_path: Path, source: Path, enhance: Any
) -> None:
    enhance(source, tmp_path / "out")
    run = enhance(source, tmp_path / "out", resume=True, multiframe=True)
    assert len(run.event("done")) == 2
    assert len(enhance(source, tmp_path / "out", resume=True, multiframe=True).event("done")) == 0


def test_uncertainty_is_a_second_image_that_says_so(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in", stack(2, shape=(48, 48)), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out", multiframe=True, strength=1.0, uncertainty=True, scale=(1, 2, 2))
    files = [file for place in run.outputs for file in place.iterdir()]
    result, doubt = (pydicom.dcmread(file) for file in files)
    assert list(result.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    assert list(doubt.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "STD_DEVIATION"]
    assert doubt.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope == 0.1
    assert doubt.SOPInstanceUID != result.SOPInstanceUID
    assert doubt.StudyInstanceUID == result.StudyInstanceUID
    assert doubt.pixel_array.shape == result.pixel_array.shape == (2, 96, 96)
    assert errors_of(*files) == []


SMOOTH = Scene(background_hu=40.0, gradient_hu_per_mm=(1.0, 0.5, 0.5))
SECRETS = {
    "PatientID": "ZQX4711",
    "PatientName": "Wolkenstein^Amalie",
    "StudyDate": "20181129",
    "AccessionNumber": "ACC998877",
    "DeviceSerialNumber": "SN31337",
}


def _tell(dataset: Dataset, k: int) -> None:
    dataset.ImageComments = f"Wolkenstein, slice {k}"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20181129", f"1200{k:02d}"
    dataset.IrradiationEventUID = f"1.2.3.4711.{k}"
    dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation = "40", "400", "Wolkenstein"


@pytest.mark.parametrize("form", ["single", "multi"])
def test_no_identifier_survives_in_functional_groups(tmp_path: Path, enhance: Any, form: str) -> None:
    source = tmp_path / "in"
    if form == "single":
        write_series(source, stack(3, shape=(64, 64), per_slice=_tell), SMOOTH, **SECRETS)
    else:
        source.mkdir()
        dataset = enhanced_dataset(stack(3, shape=(64, 64)), SMOOTH)
        for keyword, value in SECRETS.items():
            setattr(dataset, keyword, value)
        for k, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            told, content, window, event, unassigned = (Dataset() for _ in range(5))
            _tell(told, k)
            content.FrameAcquisitionDateTime = told.AcquisitionDate + told.AcquisitionTime
            window.WindowCenter, window.WindowWidth = told.WindowCenter, told.WindowWidth
            window.WindowCenterWidthExplanation = told.WindowCenterWidthExplanation
            event.IrradiationEventUID, unassigned.ImageComments = told.IrradiationEventUID, told.ImageComments
            item.FrameContentSequence, item.FrameVOILUTSequence = [content], [window]
            item.IrradiationEventIdentificationSequence = [event]
            item.UnassignedPerFrameConvertedAttributesSequence = [unassigned]
        dataset.save_as(source / "e.dcm", enforce_file_format=True)
    run = enhance(
        source, tmp_path / "out", multiframe=True, deidentify="basic", key_file=tmp_path / "k.key", report=True
    )
    assert run.status == 0
    forbidden = {"Wolkenstein", "Amalie", "ZQX4711", "ACC998877", "20181129", "SN31337", "1.2.3.4711"}
    for path in source.iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        forbidden |= {str(e.value) for e in header if e.keyword.endswith("InstanceUID")}
        forbidden.add(str(header.FrameOfReferenceUID))
    for path in (tmp_path / "out").rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        for word in forbidden:
            assert word not in str(path.relative_to(tmp_path / "out"))
            assert word.lower().encode() not in content, f"{word} in {path.name}"
    (file,) = run.outputs[0].iterdir()
    out = pydicom.dcmread(file)
    assert out.PatientIdentityRemoved == "YES"
    assert errors_of(file) == []
    sources = {
        reference.ReferencedSOPInstanceUID
        for frame in out.PerFrameFunctionalGroupsSequence
        for reference in frame.DerivationImageSequence[0].SourceImageSequence
    }
    (study,) = out.SourceImageEvidenceSequence
    evidence = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert study.StudyInstanceUID == out.StudyInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in evidence} == sources
    assert len(sources) == (3 if form == "single" else 1)


def test_an_interruption_leaves_no_half_image_and_a_resumed_run_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    enhance(source, tmp_path / "whole", multiframe=True, dicomdir=True)
    write, left = jobs.EnhancedImageWriter.write, [6]

    def writing(self: Any, *args: Any, **kwargs: Any) -> Path:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return write(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(jobs.EnhancedImageWriter, "write", writing)
        enhance(source, tmp_path / "out", multiframe=True, dicomdir=True)
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    assert not list((tmp_path / "out").rglob(".partial-*"))
    enhance(source, tmp_path / "out", resume=True, multiframe=True, dicomdir=True)
    assert settled(tmp_path / "out") == settled(tmp_path / "whole")
    listing = pydicom.dcmread(tmp_path / "out" / "medium" / "DICOMDIR")
    images = [record for record in listing.DirectoryRecordSequence if record.DirectoryRecordType == "IMAGE"]
    assert {record.ReferencedSOPClassUIDInFile for record in images} == {EnhancedCTImageStorage}


def test_a_full_disk_fails_the_scan_and_leaves_nothing(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, *args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs.EnhancedImageWriter, "_copy_frames", full)
    run = enhance(source, tmp_path / "out", multiframe=True)
    assert run.status == 1
    assert {"No space left" in entry["reason"] for entry in run.entries("failed")} == {True}
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["manifest.json"]


@pytest.mark.parametrize(("format", "syntax"), [("nifti", "uncompressed"), ("nrrd", "rle"), ("auto", "deflated")])
def test_what_cannot_be_one_image_is_refused_before_any_work(format: str, syntax: str) -> None:
    with pytest.raises(UsageError, match="multiframe"):
        check_multiframe(format, syntax)
    check_multiframe("dicom", "jpeg-ls")
