"""What cannot be one volume is kept apart; nothing is mixed, lost or used twice in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantoms import BODY, GRADIENT, Scene, slice_dataset, stack, worst_shift_mm, write_series
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from med_stylesr.errors import UsageError
from med_stylesr.io.dicom_read import read_slices, read_volume
from med_stylesr.io.source import Inputs, find_inputs

ENHANCED_SCENE = Scene(background_hu=-300.0, gradient_hu_per_mm=(11.0, -7.0, 5.0))


def _found(folder: Path) -> Inputs:
    with find_inputs(folder) as inputs:
        return inputs


def _join(first: Path, second: Path) -> None:
    """Make two series one, as badly behaved exports do."""
    uid = pydicom.dcmread(sorted(first.iterdir())[0]).SeriesInstanceUID
    study = pydicom.dcmread(sorted(first.iterdir())[0])
    for path in second.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = uid, study.FrameOfReferenceUID
        dataset.save_as(path)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"AcquisitionNumber": "2"}, "AcquisitionNumber"),
        ({"TemporalPositionIdentifier": "2"}, "TemporalPositionIdentifier"),
        ({"AcquisitionTime": "120130"}, "AcquisitionTime"),
    ],
)
def test_two_phases_in_one_series_become_two_volumes(tmp_path: Path, change: dict[str, str], label: str) -> None:
    write_series(tmp_path / "native", stack())
    write_series(tmp_path / "contrast", stack(), ENHANCED_SCENE, **change)
    _join(tmp_path / "native", tmp_path / "contrast")
    inputs = _found(tmp_path)
    assert len(inputs.series) == 2
    assert all(len(s) == 8 and label in s.part for s in inputs.series)
    offsets = sorted(float(np.mean(read_volume(s).hu)) for s in inputs.series)
    assert offsets[1] - offsets[0] == pytest.approx(400, abs=1)


def test_phases_told_apart_by_nothing_but_their_numbering(tmp_path: Path) -> None:
    write_series(tmp_path / "a", stack())
    write_series(tmp_path / "b", stack(), ENHANCED_SCENE)
    _join(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = str(int(dataset.InstanceNumber) + 8)
        dataset.save_as(path)
    inputs = _found(tmp_path)
    assert [len(s) for s in inputs.series] == [8, 8]
    assert all("InstanceNumber" in " ".join(s.warnings) for s in inputs.series)


def test_phases_that_nothing_tells_apart_are_refused_not_mixed(tmp_path: Path) -> None:
    write_series(tmp_path / "a", stack())
    write_series(tmp_path / "b", stack(), ENHANCED_SCENE)
    _join(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="same place and nothing in their headers"):
        _found(tmp_path)


def test_interleaved_acquisitions_are_separated(tmp_path: Path) -> None:
    write_series(tmp_path / "a", stack(step_mm=5.0))
    write_series(tmp_path / "b", stack(step_mm=5.0, centre_mm=(0, 0, 1.3)), AcquisitionNumber="2")
    _join(tmp_path / "a", tmp_path / "b")
    inputs = _found(tmp_path)
    assert [len(s) for s in inputs.series] == [8, 8]
    assert all(s.slice_origins_mm is None for s in inputs.series)


def test_one_scan_in_two_acquisitions_stays_one_volume(tmp_path: Path) -> None:
    def number(dataset: Dataset, k: int) -> None:
        dataset.AcquisitionNumber = str(1 + k // 4)

    write_series(tmp_path / "s", stack(per_slice=number))
    assert [len(s) for s in _found(tmp_path).series] == [8]


def test_a_copied_slice_is_dropped_with_a_warning(tmp_path: Path) -> None:
    files = write_series(tmp_path / "s", stack())
    shutil.copy(files[3], tmp_path / "s" / "copy.dcm")
    renamed = pydicom.dcmread(files[5])
    renamed.SOPInstanceUID = renamed.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    renamed.save_as(tmp_path / "s" / "other.dcm")
    (series,) = _found(tmp_path).series
    assert len(series) == 8
    assert "2 duplicate slice(s)" in " ".join(series.warnings)
    assert series.slice_origins_mm is None


def test_two_kernels_in_one_series_become_two_volumes(tmp_path: Path) -> None:
    write_series(tmp_path / "soft", stack())
    write_series(tmp_path / "sharp", stack(), ENHANCED_SCENE, ConvolutionKernel=["B70f", "3"])
    _join(tmp_path / "soft", tmp_path / "sharp")
    inputs = _found(tmp_path)
    assert sorted(s.kernel for s in inputs.series) == ["B70f\\3", "STANDARD"]
    assert {s.part for s in inputs.series} == {"kernel B70f\\3", "kernel STANDARD"}


@pytest.mark.parametrize(
    "other",
    [
        stack(shape=(16, 16)),
        stack(spacing_mm=(2.5, 2.5)),
        stack(orientation=(1, 0, 0, 0, 0, -1)),
    ],
    ids=["matrix", "spacing", "orientation"],
)
def test_stacks_of_another_kind_in_one_series_are_kept_apart(tmp_path: Path, other: object) -> None:
    write_series(tmp_path / "a", stack())
    write_series(tmp_path / "b", other)  # type: ignore[arg-type]
    _join(tmp_path / "a", tmp_path / "b")
    inputs = _found(tmp_path)
    assert [len(s) for s in inputs.series] == [8, 8]
    assert all(s.part for s in inputs.series)


def test_another_frame_of_reference_is_another_volume(tmp_path: Path) -> None:
    def split(dataset: Dataset, k: int) -> None:
        if k >= 4:
            dataset.FrameOfReferenceUID = "1.2.3"

    write_series(tmp_path / "s", stack(per_slice=split))
    assert [len(s) for s in _found(tmp_path).series] == [4, 4]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"Modality": "PT"}, "modality PT"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "Secondary Capture"),
        ({"RescaleType": "MGML"}, "MGML, not HU"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour picture"),
    ],
)
def test_what_is_no_ct_volume_is_named_and_is_no_problem(
    tmp_path: Path, header: dict[str, object], reason: str
) -> None:
    write_series(tmp_path / "ct", stack())
    write_series(tmp_path / "other", stack(1), **header)
    inputs = _found(tmp_path)
    assert [len(s) for s in inputs.series] == [8]
    (skipped,) = inputs.skipped
    assert reason in skipped.reason
    assert not skipped.problem
    assert "other" in skipped.name


def test_a_slice_without_position_leaves_a_gap_that_is_told(tmp_path: Path) -> None:
    def drop(dataset: Dataset, k: int) -> None:
        if k == 3:
            del dataset.ImagePositionPatient

    write_series(tmp_path / "s", stack(per_slice=drop))
    inputs = _found(tmp_path)
    assert [len(s) for s in inputs.series] == [7]
    assert "1 slice(s) are missing" in " ".join(inputs.series[0].warnings)
    assert [s.problem for s in inputs.skipped] == [True]


def test_mixed_real_life_study_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    kinds = {
        "thin": stack(12, step_mm=1.0),
        "thick": stack(5, step_mm=5.0),
        "coronal": stack(orientation=(1, 0, 0, 0, 0, -1)),
    }
    for name, spec in kinds.items():
        for path in write_series(tmp_path / name, spec, BODY):
            path.rename(folder / f"{name}{path.name}")
        (tmp_path / name).rmdir()
    for k, dataset in enumerate(
        [slice_dataset(stack(1), BODY, 0, "scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])]
    ):
        dataset.save_as(folder / f"scout{k}", enforce_file_format=True)
    (folder / "notes.txt").write_text("not an image")
    inputs = _found(tmp_path)
    assert sorted(len(s) for s in inputs.series) == [5, 8, 12]
    assert len(inputs.skipped) == 2


def test_reading_in_parts_gives_the_whole(tmp_path: Path) -> None:
    write_series(tmp_path / "s", stack(slope=[1, 2, 1, 1, 0.5, 1, 1, 1], intercept=[-1024] * 7 + [-1000]))
    (series,) = _found(tmp_path).series
    whole = read_volume(series)
    parts = np.concatenate([read_slices(series, k, k + 2).astype(np.float32) for k in range(0, 8, 2)])
    assert np.array_equal(whole.hu.astype(np.float32), parts)
    positions = np.stack([stack().positions(k) for k in range(8)])
    assert worst_shift_mm(whole.hu, positions, GRADIENT) < 0.05
    with pytest.raises(ValueError, match="do not lie"):
        read_slices(series, 6, 9)


@pytest.mark.parametrize("thickness", ["1e-28", "-1e28", "0", "NaN"])
def test_a_single_slice_of_absurd_thickness_still_has_a_volume(tmp_path: Path, thickness: str) -> None:
    def absurd(dataset: Dataset, _: int) -> None:
        dataset.add(pydicom.DataElement("SliceThickness", "DS", thickness, already_converted=True))

    write_series(tmp_path / "s", stack(1, per_slice=absurd), BODY)
    with find_inputs(tmp_path / "s") as inputs:
        (series,) = inputs.series
        assert series.grid.spacing_mm[0] == 1.0
