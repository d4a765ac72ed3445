"""Ages over the highest one that may be told are aggregated wherever a report or an image has them as numbers."""

from __future__ import annotations

import pytest
from deid_reports import code, content, empty_report
from deid_tokens import plain_slice, round_trip
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key

pytestmark = pytest.mark.filterwarnings("ignore")
SUBJECT_AGE = ("121033", "DCM", "Subject Age")
LOINC_AGE = ("30525-0", "LN", "Age")
OWN_NAME = ("T1", "99LOCAL", "How old")
YEARS = ("a", "UCUM", "year")


def measured(number: str, unit: tuple[str, str, str] | None, **others: object) -> Dataset:
    item = Dataset()
    item.NumericValue = number
    if unit is not None:
        item.MeasurementUnitsCodeSequence = code(*unit)
    for keyword, value in others.items():
        setattr(item, keyword, value)
    return item


def told(concept: tuple[str, str, str], value: Dataset, profile: str = "research-longitudinal") -> Dataset:
    """The measured value of a content item in a cleaned report."""
    sr = empty_report()
    sr.ContentSequence = Sequence([content("NUM", concept, MeasuredValueSequence=Sequence([value]))])
    out = Deidentifier(load_profile(profile), new_key()).apply(round_trip(sr))
    (item,) = out.ContentSequence[0].MeasuredValueSequence
    return item


@pytest.mark.parametrize("concept", [SUBJECT_AGE, LOINC_AGE, OWN_NAME])
@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        ("101", YEARS, "90"),
        ("90", YEARS, "90"),
        ("89.5", YEARS, "89.5"),
        ("45", YEARS, "45"),
        ("101", ("258707000", "SCT", "year"), "90"),
        ("1212", ("mo", "UCUM", "month"), "1080"),
        ("1079", ("mo", "UCUM", "month"), "1079"),
        ("5270", ("wk", "UCUM", "week"), "4697"),
        ("36890", ("d", "UCUM", "day"), "32873"),
    ],
)
def test_high_ages_in_reports_are_aggregated_whatever_they_are_called(
    concept: tuple[str, str, str], number: str, unit: tuple[str, str, str], shown: str
) -> None:
    assert str(told(concept, measured(number, unit)).NumericValue) == shown


@pytest.mark.parametrize("unit", [None, ("1", "UCUM", "no units"), ("J", "99LOCAL", "Jahre")])
def test_an_age_in_no_known_unit_is_taken_for_years(unit: tuple[str, str, str] | None) -> None:
    assert told(SUBJECT_AGE, measured("101", unit)).NumericValue == 90
    assert told(SUBJECT_AGE, measured("45", unit)).NumericValue == 45


def test_no_other_representation_tells_the_age() -> None:
    value = measured("101", YEARS, FloatingPointValue=101.25, RationalNumeratorValue=405, RationalDenominatorValue=4)
    item = told(SUBJECT_AGE, value)
    assert item.FloatingPointValue == 90
    assert "RationalNumeratorValue" not in item
    assert "RationalDenominatorValue" not in item


def test_other_measurements_stay_whatever_their_size() -> None:
    value = measured("101", ("mm", "UCUM", "mm"), FloatingPointValue=101.25, RationalNumeratorValue=405)
    item = told(("103339001", "SCT", "Long Axis"), value, "share-minimal")
    assert (item.NumericValue, item.FloatingPointValue, item.RationalNumeratorValue) == (101, 101.25, 405)


def test_an_age_in_words_is_not_told() -> None:
    sr = empty_report()
    sr.ContentSequence = Sequence([content("TEXT", SUBJECT_AGE, TextValue="101")])
    out = Deidentifier(load_profile("research-longitudinal"), new_key()).apply(round_trip(sr))
    assert out.ContentSequence[0].TextValue == "REMOVED"


@pytest.mark.parametrize("named", [True, False])
def test_high_ages_in_the_acquisition_context_are_aggregated(named: bool) -> None:
    item = measured("101", YEARS)
    if named:
        item.ValueType, item.ConceptNameCodeSequence = "NUMERIC", code(*SUBJECT_AGE)
    dataset = plain_slice()
    dataset.AcquisitionContextSequence = Sequence([item])
    out = Deidentifier(load_profile("research-longitudinal"), new_key()).apply(round_trip(dataset))
    assert out.AcquisitionContextSequence[0].NumericValue == 90
