"""UIDs, pseudonyms and dates: the same with the same key, everywhere; different and unguessable without it."""

from __future__ import annotations

import datetime
import os
import pathlib
import pickle
import stat

import pytest
from deid_tokens import plain_slice, round_trip
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from med_stylesr.deid import Deidentifier, SecretKey, load_or_create_key, load_profile
from med_stylesr.deid.dates import shift_date, shift_datetime, told_age, valid_date
from med_stylesr.deid.keys import new_key
from med_stylesr.errors import UsageError


def apply(dataset: Dataset, profile: str, key: SecretKey, **how: bool) -> Dataset:
    deidentifier = Deidentifier(load_profile(profile), key)
    source = round_trip(dataset)
    deidentifier.harvest(source)
    return deidentifier.apply(source, **how)


def referring(uid: str) -> Dataset:
    dataset = plain_slice()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, uid
    dataset.SourceImageSequence = Sequence([item])
    dataset.ReferencedImageSequence = Sequence([item])
    return dataset


@given(st.from_regex(r"1\.[0-9]{1,5}(\.[1-9][0-9]{0,8}){2,6}", fullmatch=True))
def test_new_uids_are_valid_and_under_2_25(original: str) -> None:
    new = SecretKey(bytes(32)).uid(original)
    assert UID(new).is_valid
    assert new.startswith("2.25.")
    assert len(new) <= 44


def test_a_uid_is_the_same_wherever_it_is_referenced() -> None:
    key = new_key()
    target, source = plain_slice(), referring("1.2.826.0.1.3680043.2.1143.1.1")
    new = apply(target, "basic", key).SOPInstanceUID
    other = apply(source, "basic", key)
    assert other.SourceImageSequence[0].ReferencedSOPInstanceUID == new
    assert other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == new
    assert other.file_meta.MediaStorageSOPInstanceUID == other.SOPInstanceUID


def test_another_key_gives_other_uids_names_and_dates() -> None:
    one, two = (apply(plain_slice(), "research-longitudinal", new_key()) for _ in range(2))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber", "StudyID", "PatientName"):
        assert one[keyword].value != two[keyword].value


def test_the_same_key_gives_the_same_file_in_every_run() -> None:
    key = new_key()
    first, second = (Deidentifier(load_profile("basic"), key).clean(round_trip(plain_slice())).file() for _ in "ab")
    assert first == second


def test_pseudonyms_fit_their_value_representation() -> None:
    out = apply(plain_slice(), "basic", new_key())
    assert len(out.AccessionNumber) <= 16
    assert len(out.StudyID) <= 16
    assert out.PatientID in str(out.PatientName)


def test_retained_uids_stay_but_never_with_an_identifier_inside(tmp_path: pathlib.Path) -> None:
    text = (pathlib.Path(__file__).parents[3] / "configs" / "deid" / "basic.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("options: []", "options: [retain_uids]"))
    dataset = plain_slice()
    dataset.PatientID = "7734951"
    dataset.FrameOfReferenceUID = "1.2.826.0.7734951.4"
    out = apply(dataset, str(own), new_key())
    assert out.StudyInstanceUID == dataset.StudyInstanceUID
    assert "7734951" not in out.FrameOfReferenceUID


def test_dates_of_a_patient_move_together_by_whole_weeks() -> None:
    dataset = plain_slice()
    dataset.ContentDate, dataset.AcquisitionDateTime = "20240307", "20240301101530.5+0100"
    out = apply(dataset, "research-longitudinal", new_key())

    def day(text: str) -> datetime.date:
        return datetime.datetime.strptime(text[:8], "%Y%m%d").date()

    offset = day(out.StudyDate) - day("20240229")
    assert offset.days % 7 == 0
    assert offset.days < 0
    assert day(out.ContentDate) - day("20240307") == offset
    assert day(out.AcquisitionDateTime) - day("20240301") == offset
    assert str(out.AcquisitionDateTime)[8:] == "101530.5+0100"
    assert out.StudyTime == "101530"
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"


@given(st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)), st.integers(-3650, -1))
def test_shifting_back_gives_the_date_again(date: datetime.date, days: int) -> None:
    text = date.strftime("%Y%m%d")
    moved = shift_date(text, days)
    assert moved is not None
    assert shift_date(moved, -days) == text


@pytest.mark.parametrize("text", ["20240230", "SMITH", "2024", "20240101-20240202", "", "99999999"])
def test_what_is_no_date_is_never_passed_on_as_one(text: str) -> None:
    assert valid_date(text) is None
    assert shift_date(text, -7) is None
    assert shift_datetime(text, -7) is None


@pytest.mark.parametrize(
    ("age", "told"), [("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("999M", "999M"), ("X", None)]
)
def test_high_ages_are_aggregated(age: str, told: str | None) -> None:
    assert told_age(age, 89) == told


def test_a_new_key_file_can_only_be_read_by_its_owner(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    key = load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path) == key
    assert key.secret.hex() not in repr(key) + repr(Deidentifier(load_profile("basic"), key))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    load_or_create_key(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load_or_create_key(path)


def test_a_deidentifier_can_be_sent_to_another_process_with_its_harvest() -> None:
    deidentifier = Deidentifier(load_profile("internal-qa"), new_key())
    deidentifier.harvest(round_trip(plain_slice()))
    again = pickle.loads(pickle.dumps(deidentifier))
    source = round_trip(plain_slice())
    assert again.clean(source).file() == deidentifier.clean(source).file()


def test_pixels_and_geometry_are_untouched_and_marks_are_set() -> None:
    dataset = plain_slice()
    out = apply(dataset, "basic", new_key())
    assert out.PixelData == dataset.PixelData
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "ConvolutionKernel",
    ):
        assert out[keyword].value == dataset[keyword].value
    assert out.PatientIdentityRemoved == "YES"
    assert out.BurnedInAnnotation == "NO"
    assert [c.CodeValue for c in out.DeidentificationMethodCodeSequence] == ["113100"]
    assert out.LongitudinalTemporalInformationModified == "REMOVED"


def test_a_derived_object_keeps_its_own_description_but_no_identifier() -> None:
    dataset = referring("1.2.826.0.1.3680043.2.1143.1.1")
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.DerivationDescription = "Normal-dose style by med-stylesr 0.1.0: weights 1f2e3d4c, Quillfeather"
    dataset.SeriesDescription = "CHEST Quillfeather [StyleSR x2]"
    equipment = Dataset()
    equipment.Manufacturer, equipment.ContributionDescription = "med-stylesr", "enhanced, weights 1f2e3d4c"
    dataset.ContributingEquipmentSequence = Sequence([equipment])
    out = apply(dataset, "basic", new_key(), derived=True)
    assert "weights 1f2e3d4c" in out.DerivationDescription
    assert out.SeriesDescription == "CHEST StyleSR x 2"
    assert out.ContributingEquipmentSequence[0].ContributionDescription == "enhanced, weights 1f2e3d4c"
    assert "Quillfeather" not in str(out)
