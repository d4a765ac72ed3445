"""A derived series as one Enhanced CT image: same HU, same places, one instance, nothing made up and nothing lost."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_judges import errors_of, mismatches, series_of
from phantoms import BODY, GRADIENT, StackSpec, enhanced_dataset, stack, write_series
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage
from test_io_dicom_write import CASES, derivation, write_derived

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io import enhanced_write
from med_stylesr.io.attributes import numbers, word
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import TRANSFER_SYNTAXES, output_places
from med_stylesr.io.enhanced_write import EnhancedImageWriter
from med_stylesr.io.series import DicomSeries

FRAME_BY_FRAME = [name for name in TRANSFER_SYNTAXES if name != "deflated"]


def write_enhanced(
    series: DicomSeries,
    folder: Path,
    scale: Sequence[int] = (1, 1, 1),
    hu: Any = None,
    order: Sequence[int] | None = None,
    **options: Any,
) -> Path:
    """The derived series as one file; zeros where no HU are given."""
    folder.mkdir(parents=True)
    grid, origins = output_places(series, scale)
    made = options.pop("derivation", derivation())
    writer = EnhancedImageWriter(series, grid, made, folder, slice_origins_mm=origins, **options)
    for k in order or range(grid.shape[0]):
        assert not writer.files
        writer.write(k, np.zeros(grid.shape[1:], np.int16) if hu is None else hu[k])
    assert sorted(folder.iterdir()) == writer.files
    return writer.files[0]


def truth_of(series: DicomSeries, scale: Sequence[int]) -> np.ndarray:
    """LPS mm of all voxels of the derived series, shape (slices, rows, columns, 3)."""
    grid, origins = output_places(series, scale)
    k, j, i = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    truth = grid.positions(np.stack([i, j, k], axis=-1))
    return truth if origins is None else truth + (origins - truth[:, 0, 0])[:, None, None]


@pytest.mark.parametrize("name", CASES)
def test_every_frame_is_read_back_with_its_hu_at_its_place_and_the_judges_find_no_error(
    tmp_path: Path, name: str
) -> None:
    spec, scale = CASES[name]
    sources = write_series(tmp_path / "src", spec)
    series = series_of(tmp_path / "src")
    truth = truth_of(series, scale)
    hu = np.rint(GRADIENT.hu_at(truth)).astype(np.int16)
    file = write_enhanced(series, tmp_path / "out", scale, hu)
    again = series_of(file)
    assert np.array_equal(read_volume(again).hu, hu)
    corners = [(k, j, i) for k in range(hu.shape[0]) for j in (0, -1) for i in (0, -1)]
    for k, j, i in corners:
        header = again.headers[k]
        origin, directions = numbers(header, "ImagePositionPatient", 3), numbers(header, "ImageOrientationPatient", 6)
        spacing = numbers(header, "PixelSpacing", 2)
        assert origin is not None
        assert directions is not None
        assert spacing is not None
        row, column = np.array(directions[:3]), np.array(directions[3:])
        place = np.array(origin) + (i % hu.shape[2]) * spacing[1] * row + (j % hu.shape[1]) * spacing[0] * column
        assert np.abs(place - truth[k, j, i]).max() < 1e-3
    assert (again.slice_origins_mm is None) == (series.slice_origins_mm is None)
    assert errors_of(file) == []
    assert mismatches(*sources, file) == []


@pytest.mark.parametrize("name", ["plain", "everything", "reversed", "sagittal", "through plane x3"])
def test_other_readers_find_the_same_places(tmp_path: Path, name: str) -> None:
    spec, scale = CASES[name]
    write_series(tmp_path / "src", spec)
    series = series_of(tmp_path / "src")
    truth = truth_of(series, scale)
    hu = np.rint(GRADIENT.hu_at(truth)).astype(np.int16)
    file = write_enhanced(series, tmp_path / "out", scale, hu)
    volume = highdicom.imread(file).get_volume()
    image = SimpleITK.ReadImage(str(file))
    assert image.GetSize() == hu.shape[::-1]
    values = SimpleITK.GetArrayFromImage(image)
    for k, j, i in np.ndindex(2, 2, 2):
        index = [c * (n - 1) for c, n in zip((k, j, i), hu.shape, strict=True)]
        place = truth[tuple(index)]
        assert np.abs(np.array(image.TransformIndexToPhysicalPoint(index[::-1])) - place).max() < 1e-3
        assert values[tuple(index)] == hu[tuple(index)]
        # highdicom may turn the stack over: ask it where the point is.
        found = np.rint(np.linalg.inv(volume.affine) @ [*place, 1])[:3].astype(int)
        assert np.abs(volume.affine @ [*found, 1] - [*place, 1]).max() < 1e-3
        assert volume.array[tuple(found)] == hu[tuple(index)]


def test_it_is_one_derived_instance_that_names_all_its_sources(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(6))
    series = series_of(tmp_path / "src")
    out = pydicom.dcmread(write_enhanced(series, tmp_path / "out"))
    source = series.headers[0]
    assert out.SOPClassUID == out.file_meta.MediaStorageSOPClassUID == EnhancedCTImageStorage
    assert out.SOPInstanceUID == out.file_meta.MediaStorageSOPInstanceUID
    assert list(out.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    assert (out.ContentQualification, out.NumberOfFrames, out.InstanceNumber) == ("RESEARCH", 6, 1)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "StudyDate", "ConvolutionKernel", "KVP"):
        assert out[keyword].value == source[keyword].value
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber"):
        assert out[keyword].value != source[keyword].value
    uids = list(series.sop_instance_uids)
    named = []
    for frame in out.PerFrameFunctionalGroupsSequence:
        (derived,) = frame.DerivationImageSequence
        assert "weights SHA-256 abab" in derived.DerivationDescription
        assert [code.CodeValue for code in derived.DerivationCodeSequence] == ["113087", "113085"]
        items = derived.SourceImageSequence
        assert {i.PurposeOfReferenceCodeSequence[0].CodeValue for i in items} == {"121322"}
        named.append([uids.index(i.ReferencedSOPInstanceUID) for i in items])
    assert named == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5]]
    (study,) = out.SourceImageEvidenceSequence
    (of_series,) = study.ReferencedSeriesSequence
    assert (study.StudyInstanceUID, of_series.SeriesInstanceUID) == (source.StudyInstanceUID, source.SeriesInstanceUID)
    assert [item.ReferencedSOPInstanceUID for item in of_series.ReferencedSOPSequence] == uids
    assert out.ContributingEquipmentSequence[-1].PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_the_image_and_the_series_of_single_frames_share_no_uid(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(3))
    series = series_of(tmp_path / "src")
    single = write_derived(series, tmp_path / "single")
    whole = pydicom.dcmread(write_enhanced(series, tmp_path / "whole"))
    other = pydicom.dcmread(
        write_enhanced(series, tmp_path / "other", derivation=derivation(parameters={"strength": 0.5}))
    )
    assert len({d.SeriesInstanceUID for d in (single[0], whole, other)}) == 3
    assert len({d.SOPInstanceUID for d in (*single, whole, other)}) == 5


def test_uneven_slices_are_parallel_frames_not_a_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "src", CASES["tilted uneven"][0])
    out = pydicom.dcmread(write_enhanced(series_of(tmp_path / "src"), tmp_path / "out"))
    assert list(out.ImageType)[2] == "PARALLEL"
    assert "DimensionOrganizationType" not in out


def test_frames_are_in_the_order_of_the_source_s_numbers_by_their_dimension(tmp_path: Path) -> None:
    spec = stack(4)
    write_series(tmp_path / "src", spec.with_(origins_mm=spec.origins_mm[::-1]))
    out = pydicom.dcmread(write_enhanced(series_of(tmp_path / "src"), tmp_path / "out"))
    contents = [frame.FrameContentSequence[0] for frame in out.PerFrameFunctionalGroupsSequence]
    assert [content.InStackPositionNumber for content in contents] == [4, 3, 2, 1]
    assert [list(content.DimensionIndexValues) for content in contents] == [[1, 4], [1, 3], [1, 2], [1, 1]]


def _per_slice(dataset: Dataset, k: int) -> None:
    dataset.XRayTubeCurrent, dataset.ExposureTime, dataset.Exposure = str(100 + k), "500", str(50 + k)
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20200101", f"1200{k:02d}.25"
    dataset.SliceLocation, dataset.GantryDetectorTilt, dataset.FocalSpots = str(3.5 * k), "0", "1.2"
    dataset.ImageComments = f"comment {k}"
    dataset.ScanOptions, dataset.ContrastBolusAgent = "HELICAL MODE", "OMNIPAQUE"
    dataset.ContrastBolusRoute, dataset.ContrastBolusVolume = "IV & ORAL", "80"


def test_what_slices_say_of_themselves_is_said_of_the_frames(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(5, per_slice=_per_slice))
    series = series_of(tmp_path / "src")
    file = write_enhanced(series, tmp_path / "out")
    assert errors_of(file) == []
    again = series_of(file)
    out = pydicom.dcmread(file)
    for k, (before, after) in enumerate(zip(series.headers, again.headers, strict=True)):
        assert after.XRayTubeCurrentInmA == float(before.XRayTubeCurrent)
        assert (after.ExposureTimeInms, after.ExposureInmAs) == (500, 50 + k)
        assert numbers(after, "SliceLocation", 1) == numbers(before, "SliceLocation", 1)
        assert word(after, "AcquisitionDateTime") == f"2020010112000{k}.25"
        for keyword in ("KVP", "ConvolutionKernel", "ImageComments", "ScanOptions", "FocalSpots"):
            assert word(after, keyword) == word(before, keyword)
    assert "ImageComments" not in out
    assert out.AcquisitionDateTime == "20200101120000.25"
    assert [
        agent.ContrastBolusAdministrationRouteSequence[0].CodeMeaning for agent in out.ContrastBolusAgentSequence
    ] == [
        "Intravenous route",
        "Oral route",
    ]
    (shared,) = out.SharedFunctionalGroupsSequence
    assert [usage.ContrastBolusAgentNumber for usage in shared.ContrastBolusUsageSequence] == [1, 2]
    assert shared.FrameAnatomySequence[0].AnatomicRegionSequence[0].CodeMeaning == "Chest"


@pytest.mark.parametrize("agent", ["", "NONE"])
def test_no_contrast_agent_is_made_up(tmp_path: Path, agent: str) -> None:
    write_series(tmp_path / "src", stack(2, header={"ContrastBolusAgent": agent}))
    file = write_enhanced(series_of(tmp_path / "src"), tmp_path / "out")
    assert "ContrastBolusAgentSequence" not in pydicom.dcmread(file)
    assert errors_of(file) == []


def test_unknown_equipment_is_called_unknown_and_told(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(2, header={"Manufacturer": "", "SoftwareVersions": "7.1"}))
    series = series_of(tmp_path / "src")
    (tmp_path / "out").mkdir()
    grid, origins = output_places(series, (1, 1, 1))
    writer = EnhancedImageWriter(series, grid, derivation(), tmp_path / "out", slice_origins_mm=origins)
    for k in range(2):
        writer.write(k, np.zeros(grid.shape[1:]))
    out = pydicom.dcmread(writer.files[0])
    assert (out.Manufacturer, out.SoftwareVersions, out.DeviceSerialNumber) == ("UNKNOWN", "7.1", "UNKNOWN")
    (told,) = [line for line in writer.warnings if "UNKNOWN" in line]
    assert {"Manufacturer", "DeviceSerialNumber"} < set(told.replace(",", "").split())
    assert "SoftwareVersions" not in told


@pytest.mark.parametrize("history", [("4.5", "ISO_10918_1"), (None, None)])
def test_a_lossy_past_is_not_forgotten(tmp_path: Path, history: tuple[str | None, str | None]) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": history[0],
        "LossyImageCompressionMethod": history[1],
    }
    write_series(tmp_path / "src", stack(2, header=lossy))
    file = write_enhanced(series_of(tmp_path / "src"), tmp_path / "out")
    out = pydicom.dcmread(file)
    assert out.LossyImageCompression == "01"
    assert out.LossyImageCompressionMethod == (history[1] or "UNKNOWN")
    assert errors_of(file) == []


def test_decimal_strings_fit_and_nothing_private_is_in_it(tmp_path: Path) -> None:
    write_series(tmp_path / "src", CASES["everything"][0])
    out = pydicom.dcmread(write_enhanced(series_of(tmp_path / "src"), tmp_path / "out", (2, 2, 2)))
    elements = list(out.iterall())
    decimals = [v for e in elements if e.VR == "DS" for v in (e.value if e.VM > 1 else [e.value])]
    assert len(decimals) > 40
    assert all(len(str(v)) <= 16 for v in decimals)
    assert not [e for e in elements if e.tag.is_private]


@pytest.mark.parametrize(
    ("name", "long"),
    [(name, long) for name in FRAME_BY_FRAME for long in (False, True) if not (long and name == "uncompressed")],
)
def test_every_encoding_gives_every_value_back_with_either_offset_table(
    tmp_path: Path, name: str, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = stack(5, shape=(33, 35))
    write_series(tmp_path / "src", spec, BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    if long:
        monkeypatch.setattr(enhanced_write, "_LONGEST", 10)
    file = write_enhanced(series, tmp_path / "out", hu=hu, transfer_syntax=TRANSFER_SYNTAXES[name])
    out = pydicom.dcmread(file)
    assert out.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[name]
    assert ("ExtendedOffsetTable" in out) == long
    assert np.array_equal(out.pixel_array, hu)
    assert np.array_equal(read_volume(series_of(file)).hu, hu)
    assert errors_of(file) == []


@pytest.mark.parametrize("name", ["uncompressed", "jpeg-ls"])
def test_equal_jobs_give_equal_bytes_in_whatever_order_slices_come(tmp_path: Path, name: str) -> None:
    write_series(tmp_path / "src", stack(6, per_slice=_per_slice), BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    mixed = list(range(6))
    random.Random(3).shuffle(mixed)
    syntax = TRANSFER_SYNTAXES[name]
    files = [
        write_enhanced(series, tmp_path / str(n), hu=hu, order=order, transfer_syntax=syntax)
        for n, order in enumerate((None, None, mixed))
    ]
    first, again, other = (file.read_bytes() for file in files)
    assert first == again == other


def test_a_multi_frame_source_is_written_as_what_it_was(tmp_path: Path) -> None:
    dataset = enhanced_dataset(stack(5), BODY)
    for k, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        exposure, details = Dataset(), Dataset()
        exposure.ExposureTimeInms, exposure.XRayTubeCurrentInmA, exposure.ExposureInmAs = 500.0, 100.0 + k, 50.0
        exposure.ExposureModulationType = "XYZ_EC"
        item.CTExposureSequence = [exposure]
        details.RevolutionTime, details.SingleCollimationWidth, details.TotalCollimationWidth = 0.5, 0.625, 40.0
        details.TableHeight, details.GantryDetectorTilt, details.DataCollectionDiameter = "120", "0", "500"
        item.CTAcquisitionDetailsSequence = [details]
        content = Dataset()
        content.FrameAcquisitionDateTime = f"2020010112000{k}"
        item.FrameContentSequence = [content]
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    series = series_of(tmp_path / "e.dcm")
    hu = read_volume(series).hu
    file = write_enhanced(series, tmp_path / "out", hu=hu)
    out = pydicom.dcmread(file)
    assert errors_of(file) == []
    assert np.array_equal(read_volume(series_of(file)).hu, hu)
    assert out.SOPInstanceUID != dataset.SOPInstanceUID
    frames = out.PerFrameFunctionalGroupsSequence
    assert [frame.CTExposureSequence[0].XRayTubeCurrentInmA for frame in frames] == [100, 101, 102, 103, 104]
    assert out.SharedFunctionalGroupsSequence[0].CTAcquisitionDetailsSequence[0].RevolutionTime == 0.5
    assert [f.FrameContentSequence[0].FrameAcquisitionDateTime for f in frames][3] == "20200101120003"
    named = [np.atleast_1d(f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber) for f in frames]
    assert [list(map(int, one)) for one in named] == [[1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5]]


def test_padding_of_some_slices_is_padding_of_the_image(tmp_path: Path) -> None:
    spec = stack(3, padding=-1000, intercept=-1024.0, header={"PixelPaddingValue": -1000})
    write_series(tmp_path / "src", spec, BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    hu[1] = 0
    out = pydicom.dcmread(write_enhanced(series, tmp_path / "out", hu=hu))
    assert out.PixelPaddingValue == -2024
    assert (out.pixel_array == -2024).any()


def test_what_enhanced_ct_cannot_say_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "plain", stack(2))
    with pytest.raises(UsageError, match="as a whole"):
        write_enhanced(series_of(tmp_path / "plain"), tmp_path / "a", transfer_syntax=TRANSFER_SYNTAXES["deflated"])
    write_series(tmp_path / "text", stack(2, header={"BurnedInAnnotation": "YES"}))
    with pytest.raises(InputError, match="burned into"):
        write_enhanced(series_of(tmp_path / "text"), tmp_path / "b")
    write_series(
        tmp_path / "sets", stack(2, per_slice=lambda d, k: setattr(d, "SpecificCharacterSet", f"ISO_IR {100 + k}"))
    )
    with pytest.raises(InputError, match="several character sets"):
        write_enhanced(series_of(tmp_path / "sets"), tmp_path / "c")
    monkeypatch.setattr(enhanced_write, "_LONGEST", 1000)
    with pytest.raises(InputError, match="--transfer-syntax jpeg-ls"):
        write_enhanced(series_of(tmp_path / "plain"), tmp_path / "d")


def test_memory_does_not_grow_with_the_pixels_of_the_series(tmp_path: Path) -> None:
    peaks = []
    for slices in (8, 24):
        spec: StackSpec = stack(slices, shape=(256, 256), spacing_mm=(0.5, 0.5))
        write_series(tmp_path / f"src{slices}", spec)
        series = series_of(tmp_path / f"src{slices}")
        tracemalloc.start()
        write_enhanced(series, tmp_path / f"out{slices}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    pixels_of_the_others = (24 - 8) * 256 * 256 * 2
    assert peaks[1] - peaks[0] < pixels_of_the_others / 2


REAL = ("chest_lidc0001", "petct_siemens_sens16", "kernelpair_A0001_sharp_L", "phantom_ge_tilted", "singles_nysbu")


@pytest.mark.parametrize("name", REAL)
def test_real_scans_of_all_makers_pass_the_judge(shared_data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "src").mkdir()
    for path in sorted((shared_data / name).iterdir())[: 1 if name == "singles_nysbu" else 3]:
        (tmp_path / "src" / path.name).symlink_to(path)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    file = write_enhanced(series, tmp_path / "out", hu=hu, transfer_syntax=TRANSFER_SYNTAXES["rle"])
    assert errors_of(file) == []
    again = series_of(file)
    assert np.array_equal(read_volume(again).hu, hu)
    assert np.allclose(again.affine, series.affine, atol=1e-3)
