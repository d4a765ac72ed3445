"""A derived series is conformant, truthful about its origin, placed right, and never the source's twin."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_judges import errors_of, mismatches, series_of
from phantoms import BODY, GRADIENT, StackSpec, rotated, stack, worst_shift_mm, write_series
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, UID

from med_stylesr.errors import InputError
from med_stylesr.io.derivation import SMOOTHING, SPATIAL_RESAMPLING, Derivation, derived_uid
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import TRANSFER_SYNTAXES, DerivedSeriesWriter, output_places
from med_stylesr.io.series import DicomSeries

CREATED = datetime(2026, 11, 21, 12, 30, 15, tzinfo=timezone.utc)


def derivation(**changes: Any) -> Derivation:
    values: dict[str, Any] = {
        "summary": "Low-dose CT in normal-dose style",
        "tool": "med-stylesr",
        "tool_version": "0.1.0",
        "codes": (SMOOTHING, SPATIAL_RESAMPLING),
        "created": CREATED,
        "series_suffix": "normal-dose style",
        "series_number_offset": 9000,
        "source_radius": 1,
        "parameters": {"model": "ldct_stylesr_2d", "weights SHA-256": "ab" * 32, "strength": 1.0, "scale": (1, 1, 1)},
    }
    return Derivation(**{**values, **changes})


def write_derived(
    series: DicomSeries, folder: Path, scale: Sequence[int] = (1, 1, 1), hu: Any = None, **options: Any
) -> list[Dataset]:
    folder.mkdir(parents=True)
    grid, origins = output_places(series, scale)
    made = options.pop("derivation", derivation())
    writer = DerivedSeriesWriter(series, grid, made, folder, slice_origins_mm=origins, **options)
    for k in range(grid.shape[0]):
        writer.write(k, np.zeros(grid.shape[1:], np.int16) if hu is None else hu[k])
    assert writer.complete
    return [pydicom.dcmread(path) for path in writer.files]


CASES: dict[str, tuple[StackSpec, tuple[int, int, int]]] = {
    "plain": (stack(), (1, 1, 1)),
    "in plane x2": (stack(), (1, 2, 2)),
    "through plane x3": (stack(), (3, 1, 1)),
    "everything": (stack(orientation=rotated(20, "y")), (2, 2, 2)),
    "tilted": (stack(orientation=rotated(18.5, "x"), step_mm=(0, 0, 3)), (2, 2, 2)),
    "tilted uneven": (
        stack(orientation=rotated(18.5, "x"), step_mm=(0, 0, 3)).with_(
            origins_mm=stack(orientation=rotated(18.5, "x"), step_mm=(0, 0, 3)).origins_mm
            + np.array([0, 0.5, 0, 0.9, 0, 0, 0.2, 0])[:, None] * [0, 0, 1]
        ),
        (1, 2, 2),
    ),
    "reversed": (stack(step_mm=-3), (2, 1, 1)),
    "sagittal": (stack(orientation=(0, 1, 0, 0, 0, -1)), (1, 2, 2)),
    "one slice": (stack(1), (1, 2, 2)),
    "one slice through plane": (stack(1), (2, 1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_written_places_are_true_and_the_judges_find_no_error(tmp_path: Path, name: str) -> None:
    spec, scale = CASES[name]
    sources = write_series(tmp_path / "src", spec)
    series = series_of(tmp_path / "src")
    grid, origins = output_places(series, scale)
    k, j, i = np.meshgrid(*map(np.arange, grid.shape), indexing="ij")
    truth = grid.positions(np.stack([i, j, k], axis=-1))
    if origins is not None:
        truth += (origins - truth[:, 0, 0])[:, None, None]
    written = write_derived(series, tmp_path / "out", scale, GRADIENT.hu_at(truth))
    again = series_of(tmp_path / "out")
    volume = read_volume(again)
    for index, dataset in enumerate(written):
        place = StackSpec(
            np.array([dataset.ImagePositionPatient], float),
            tuple(map(float, dataset.ImageOrientationPatient)),
            tuple(map(float, dataset.PixelSpacing)),
            (dataset.Rows, dataset.Columns),
        )
        assert worst_shift_mm(volume.hu[index], place.positions(0)) < 0.01
    assert np.abs(again.origins_mm[0] - truth[0, 0, 0]).max() < 1e-4
    assert errors_of(*sorted((tmp_path / "out").iterdir())[:2]) == []
    assert mismatches(*sources, *sorted((tmp_path / "out").iterdir())) == []


def test_outer_edges_of_the_field_of_view_stay(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(orientation=rotated(18.5, "x"), step_mm=(0, 0, 3)))
    series = series_of(tmp_path / "src")
    out = write_derived(series, tmp_path / "out", (2, 2, 2))
    derived = series_of(tmp_path / "out")
    for corner in np.ndindex(2, 2, 2):
        edges = [np.array(corner) * np.array(s.grid.shape[::-1]) - 0.5 for s in (series, derived)]
        assert np.abs(series.grid.positions(edges[0]) - derived.grid.positions(edges[1])).max() < 1e-3
    assert str(out[0].SliceThickness) == "1.5"
    assert [str(mm) for mm in out[0].PixelSpacing] == [f"{mm / 2:g}" for mm in series.grid.spacing_mm[1:]]
    assert float(out[0].SpacingBetweenSlices) == pytest.approx(series.grid.plane_distance_mm / 2, abs=1e-4)


def test_unscaled_slices_keep_exactly_the_position_of_their_source(tmp_path: Path) -> None:
    write_series(tmp_path / "src", CASES["tilted uneven"][0])
    series = series_of(tmp_path / "src")
    out = write_derived(series, tmp_path / "out")
    positions = [[float(v) for v in d.ImagePositionPatient] for d in out]
    assert positions == [[float(v) for v in h.ImagePositionPatient] for h in series.headers]
    assert [float(v) for v in out[0].ImageOrientationPatient] == [
        float(v) for v in series.headers[0].ImageOrientationPatient
    ]


def test_uneven_slices_are_not_refined_through_the_plane(tmp_path: Path) -> None:
    write_series(tmp_path / "src", CASES["tilted uneven"][0])
    with pytest.raises(InputError, match="unevenly spaced"):
        output_places(series_of(tmp_path / "src"), (2, 1, 1))


def test_it_says_that_it_is_derived_from_what_and_how(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack())
    series = series_of(tmp_path / "src")
    out = write_derived(series, tmp_path / "out")[3]
    source = series.headers[3]
    assert list(out.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert "weights SHA-256 abab" in out.DerivationDescription
    assert "strength 1" in out.DerivationDescription
    assert [c.CodeValue for c in out.DerivationCodeSequence] == ["113087", "113085"]
    referred = [item.ReferencedSOPInstanceUID for item in out.SourceImageSequence]
    assert referred == [h.SOPInstanceUID for h in series.headers[2:5]]
    assert {i.PurposeOfReferenceCodeSequence[0].CodeValue for i in out.SourceImageSequence} == {"121322"}
    equipment = out.ContributingEquipmentSequence[-1]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.SoftwareVersions == "0.1.0"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "KVP", "ConvolutionKernel", "StudyDate"):
        assert out[keyword].value == source[keyword].value
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        assert out[keyword].value != source[keyword].value
    assert out.SeriesDescription == "Phantom normal-dose style"
    assert out.SeriesNumber == 9002
    assert (out.RescaleSlope, out.RescaleIntercept, out.RescaleType) == (1, 0, "HU")
    assert (out.BitsAllocated, out.BitsStored, out.HighBit, out.PixelRepresentation) == (16, 16, 15, 1)
    assert out.ContentDate == "20261121"


def test_slices_between_slices_name_both_neighbours(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(4))
    series = series_of(tmp_path / "src")
    out = write_derived(series, tmp_path / "out", (2, 1, 1), derivation=derivation(source_radius=0))
    uids = [str(h.SOPInstanceUID) for h in series.headers]
    named = [[uids.index(i.ReferencedSOPInstanceUID) for i in d.SourceImageSequence] for d in out]
    assert named == [[0], [0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3], [3]]


def test_the_same_job_gives_the_same_uids_and_another_gives_others(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(3))
    series = series_of(tmp_path / "src")
    first = write_derived(series, tmp_path / "a")
    later = write_derived(series, tmp_path / "b", derivation=derivation(created=CREATED + timedelta(days=1)))
    other = write_derived(series, tmp_path / "c", derivation=derivation(parameters={"strength": 0.5}))
    finer = write_derived(series, tmp_path / "d", (1, 2, 2))
    assert [d.SOPInstanceUID for d in first] == [d.SOPInstanceUID for d in later]
    everything = [d.SOPInstanceUID for made in (first, other, finer) for d in made]
    assert len(set(everything)) == 9
    assert not set(everything) & set(series.sop_instance_uids)
    assert len({made[0].SeriesInstanceUID for made in (first, other, finer)}) == 3
    assert all(UID(uid).is_valid and len(uid) <= 64 for uid in everything)
    again = tmp_path / "e"
    write_derived(series, again)
    for one, two in zip(sorted((tmp_path / "a").iterdir()), sorted(again.iterdir()), strict=True):
        assert one.read_bytes() == two.read_bytes(), "the same job gives the same bytes"


def test_stale_attributes_do_not_survive(tmp_path: Path) -> None:
    def stale(dataset: Dataset, _: int) -> None:
        dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = 1, 2
        dataset.PixelPaddingValue = -2000
        dataset.SliceLocation = "77"
        dataset.RescaleType = "HU"
        dataset.add_new(0x60000010, "US", 24)
        dataset.add_new(0x60003000, "OW", bytes(60))
        dataset.add_new(0x00091001, "LO", "private")
        dataset.IconImageSequence = [Dataset()]
        dataset.LossyImageCompression = "00"
        dataset.add_new(0x00282110, "CS", "00")

    write_series(tmp_path / "src", stack(per_slice=stale))
    out = write_derived(series_of(tmp_path / "src"), tmp_path / "out", (2, 2, 2))[0]
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue", "SliceLocation"):
        assert keyword not in out
    assert "IconImageSequence" not in out
    assert not [e for e in out if e.tag.group % 2 or 0x6000 <= e.tag.group < 0x7000]


def test_lossy_history_is_carried_forward(tmp_path: Path) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["4.5", "2"],
        "LossyImageCompressionMethod": ["ISO_10918_1", "ISO_15444_1"],
    }
    write_series(tmp_path / "src", stack(2, header=lossy))
    out = write_derived(series_of(tmp_path / "src"), tmp_path / "out")[0]
    assert out.LossyImageCompression == "01"
    assert [float(v) for v in out.LossyImageCompressionRatio] == [4.5, 2]
    assert errors_of(tmp_path / "out" / "0001.dcm") == []


def test_a_lossy_transfer_syntax_is_history_even_if_the_header_forgot(tmp_path: Path) -> None:
    spec = stack(2, shape=(64, 64), spacing_mm=(1.2, 1.2), signed=False, bits_stored=12)
    for path in write_series(tmp_path / "src", spec, BODY):
        dataset = pydicom.dcmread(path)
        dataset.compress(JPEG2000, j2k_cr=[4], generate_instance_uid=False)
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            dataset.pop(keyword, None)
        dataset.save_as(path)
    series = series_of(tmp_path / "src")
    assert any("lossy" in w for w in series.warnings)
    out = write_derived(series, tmp_path / "out")[0]
    assert out.LossyImageCompression == "01"
    assert out.LossyImageCompressionMethod == "ISO_15444_1"
    assert errors_of(tmp_path / "out" / "0001.dcm") == []


MALFORMED: dict[str, tuple[int, str, bytes]] = {
    "thickness in words": (0x00180050, "DS", b"thin"),
    "too long decimal": (0x00181100, "DS", b"350.00000000000000001234"),
    "decimal comma": (0x00181110, "DS", b"541,0 "),
    "age of no form": (0x00101010, "AS", b"old "),
    "date of no form": (0x00100030, "DA", b"1.1.1970"),
    "sex of no form": (0x00100040, "CS", b"female"),
    "lower case code": (0x00185100, "CS", b"hfs "),
    "series number of no form": (0x00200011, "IS", b"two "),
    "kvp of no form": (0x00180060, "DS", b"120kV "),
    "station name too long": (0x00081010, "SH", b"a station name far too long "),
    "frame of reference of no form": (0x00200052, "UI", b"1.02.003"),
    "study uid of no form": (0x0020000D, "UI", b"1.2.abc"),
    "irradiation event of no form": (0x00083010, "UI", b"none"),
    "window of no form": (0x00281050, "DS", b"wide"),
    "character set of no form": (0x00080005, "CS", b"KLINGON "),
    "time of no form": (0x00080032, "TM", b"noon"),
    "empty acquisition number": (0x00200012, "IS", b""),
    "control characters": (0x0008103E, "LO", b"a\x07b\x0c"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_source_values_never_stop_writing_and_never_come_through(tmp_path: Path, name: str) -> None:
    tag, vr, value = MALFORMED[name]
    for path in write_series(tmp_path / "src", stack(2)):
        dataset = pydicom.dcmread(path)
        if tag == 0x00080005:
            dataset.PatientName = "Müller^Jörg"
        raw = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(tag), vr, len(value), value, 0, False, True)
        dataset._dict[pydicom.tag.Tag(tag)] = raw
        with pydicom.config.disable_value_validation():
            dataset.save_as(path)
        assert value.strip() in path.read_bytes()
    write_derived(series_of(tmp_path / "src"), tmp_path / "out")
    assert errors_of(*sorted((tmp_path / "out").iterdir())) == []


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
    ],
)
def test_character_sets_are_kept(tmp_path: Path, charset: Any, name: str) -> None:
    write_series(tmp_path / "src", stack(1), SpecificCharacterSet=charset, PatientName=name)
    (out,) = write_derived(series_of(tmp_path / "src"), tmp_path / "out")
    assert str(out.PatientName) == name
    assert out.SpecificCharacterSet == charset
    assert errors_of(tmp_path / "out" / "0001.dcm") == []


def test_text_beyond_ascii_without_a_character_set_gets_one(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "src", stack(1), PatientName="Mueller")
    path.write_bytes(
        path.read_bytes().replace(b"ISO_IR 100", b"          ").replace(b"Mueller ", "Müllers ".encode("latin-1"))
    )
    (out,) = write_derived(series_of(tmp_path / "src"), tmp_path / "out")
    assert str(out.PatientName) == "Müllers"
    assert out.SpecificCharacterSet == "ISO_IR 100"


def test_hu_are_rounded_and_saturated_not_wrapped(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(1))
    hu = np.zeros((1, 24, 20), np.float32)
    hu[0, 0, :5] = [0.5, 1.5, 40_000, -40_000, -3024.4]
    (out,) = write_derived(series_of(tmp_path / "src"), tmp_path / "out", hu=hu)
    assert out.pixel_array[0, :5].tolist() == [0, 2, 32767, -32768, -3024]


@pytest.mark.parametrize("name", TRANSFER_SYNTAXES)
def test_every_transfer_syntax_on_offer_gives_each_value_back(tmp_path: Path, name: str) -> None:
    syntax = TRANSFER_SYNTAXES[name]
    write_series(tmp_path / "src", stack(2, shape=(64, 48)), BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu.copy()
    hu[0, 0, :6] = [-32768, 32767, -3024, -2000, 3071, -1]
    hu[1] = np.random.default_rng(1).integers(-32768, 32767, hu.shape[1:])
    out = write_derived(series, tmp_path / "out", hu=hu, transfer_syntax=syntax)
    assert {d.file_meta.TransferSyntaxUID for d in out} == {syntax}
    assert np.array_equal(read_volume(series_of(tmp_path / "out")).hu, hu)
    assert all(np.array_equal(one.pixel_array, plane) for one, plane in zip(out, hu, strict=True))
    # The packaged dciodvfy cannot inflate.
    assert syntax.is_deflated or errors_of(tmp_path / "out" / "0001.dcm") == []


@pytest.mark.parametrize(("stored", "hu"), [(-2000, -3024), (63536, -3024)])
def test_padding_that_is_still_there_is_declared_in_hu(tmp_path: Path, stored: int, hu: int) -> None:
    def declare(dataset: Dataset, _: int) -> None:
        dataset.add_new(0x00280120, "SS" if stored < 0 else "US", stored)

    write_series(tmp_path / "src", stack(2, padding=-2000, intercept=-1024, per_slice=declare), BODY)
    series = series_of(tmp_path / "src")
    kept, gone = read_volume(series).hu, np.zeros((2, 24, 20), np.int16)
    assert kept.min() == hu
    out = write_derived(series, tmp_path / "kept", hu=kept)
    assert [(d["PixelPaddingValue"].VR, d.PixelPaddingValue) for d in out] == [("SS", hu)] * 2
    assert errors_of(tmp_path / "kept" / "0001.dcm") == []
    assert not any("PixelPaddingValue" in d for d in write_derived(series, tmp_path / "gone", hu=gone))


def test_padding_within_hu_of_tissue_is_not_declared_since_it_may_have_changed(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(1, padding=0, header={"PixelPaddingValue": 0}), BODY)
    series = series_of(tmp_path / "src")
    (out,) = write_derived(series, tmp_path / "out", hu=read_volume(series).hu)
    assert "PixelPaddingValue" not in out


@pytest.mark.parametrize(
    ("given", "expected"),
    [([1, 2, 3], [1, 2, 3]), ([30, 20, 10], [3, 2, 1]), ([5, 9, 7], [1, 2, 3]), ([4, 4, 4], [1, 2, 3])],
)
def test_instances_are_numbered_in_the_order_of_the_source(
    tmp_path: Path, given: list[int], expected: list[int]
) -> None:
    def number(dataset: Dataset, k: int) -> None:
        dataset.InstanceNumber = str(given[k])

    write_series(tmp_path / "src", stack(3, per_slice=number))
    out = write_derived(series_of(tmp_path / "src"), tmp_path / "out")
    assert [int(d.InstanceNumber) for d in out] == expected


def test_every_dataset_passes_through_the_hook_before_it_is_written(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(2))

    def anonymous(dataset: Dataset) -> Dataset:
        dataset.PatientID = "P1"
        dataset.SOPInstanceUID = derived_uid("other", dataset.SOPInstanceUID)
        return dataset

    out = write_derived(series_of(tmp_path / "src"), tmp_path / "out", transform_dataset=anonymous)
    assert {d.PatientID for d in out} == {"P1"}
    assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in out)


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "src", stack(2))
    series = series_of(tmp_path / "src")

    class FullDisk(io.BytesIO):
        def writelines(self, _: object) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_: FullDisk())
    with pytest.raises(InputError, match="No space left on device"):
        write_derived(series, tmp_path / "out")


@pytest.mark.parametrize("per_slice", [1, 3])
def test_a_hook_that_changes_values_in_place_sees_the_source_anew_for_every_slice(
    tmp_path: Path, per_slice: int
) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "one"
    write_series(tmp_path / "src", stack(2), ProcedureCodeSequence=[code], OtherPatientIDs=["a", "b"])
    series = series_of(tmp_path / "src")

    def marked(dataset: Dataset) -> Dataset:
        dataset.PatientID += "+"
        dataset.ProcedureCodeSequence[0].CodeMeaning += "+"
        dataset.OtherPatientIDs.append("c")
        return dataset

    out = write_derived(series, tmp_path / "out", (per_slice, 1, 1), transform_dataset=marked)
    assert {d.PatientID for d in out} == {"PH-1+"}
    assert {d.ProcedureCodeSequence[0].CodeMeaning for d in out} == {"one+"}
    assert {len(d.OtherPatientIDs) for d in out} == {3}
    assert series.patient_id == "PH-1"


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (1, 64), (64, 1), (3, 5), (16, 16), (24, 20), (31, 33), (64, 64)]
)
def test_images_of_any_size_are_written_in_every_transfer_syntax(tmp_path: Path, shape: tuple[int, int]) -> None:
    write_series(tmp_path / "src", stack(1, shape=shape))
    series = series_of(tmp_path / "src")
    noise = np.random.default_rng(7).integers(-32768, 32768, (1, *shape), dtype=np.int16)
    for name, transfer_syntax in TRANSFER_SYNTAXES.items():
        (written,) = write_derived(series, tmp_path / name, hu=noise, transfer_syntax=transfer_syntax)
        assert written.file_meta.TransferSyntaxUID == transfer_syntax
        assert np.array_equal(read_volume(series_of(tmp_path / name)).hu, noise), name
        assert np.array_equal(written.pixel_array, noise[0]), f"{name}, by pydicom's own decoders"


def test_what_a_codec_refuses_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bytes:
        raise RuntimeError("no room")

    write_series(tmp_path / "src", stack(1))
    monkeypatch.setattr("med_stylesr.io.derived_image.encoded_frame", refused)
    with pytest.raises(InputError, match=r"no room.*uncompressed"):
        write_derived(series_of(tmp_path / "src"), tmp_path / "out", transfer_syntax=TRANSFER_SYNTAXES["rle"])
