"""Not one token survives, wherever it was hidden, in any profile that removes it."""

from __future__ import annotations

import io
import warnings

import pytest
from deid_tokens import Tokens, dictionary_vr, every_attribute, hiding_places, plain_slice, round_trip, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key
from med_stylesr.deid.table import attribute_rules
from med_stylesr.errors import InputError

PROFILES = ("basic", "share-minimal", "research-longitudinal", "internal-qa")

pytestmark = pytest.mark.filterwarnings("ignore")


def cleaned(dataset: Dataset, profile: str, harvest: bool = True) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = round_trip(dataset)
        deidentifier = Deidentifier(load_profile(profile), new_key())
        if harvest:
            deidentifier.harvest(source)
        return deidentifier.clean(source).file()


def may_stay(place: str, profile: str) -> bool:
    """Whether an option of the profile keeps the attribute at the outermost level by the standard's own table."""
    level, tag, vr = [*place.split(), "", ""][:3]
    options = load_profile(profile).options
    rule = attribute_rules().get(int(tag, 16)) if level == "top" else None
    # A shifted date may meet another token's date.
    return (rule is not None and rule.action(options) == "K") or vr in ("DA", "DT")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("letters_only", [True, False])
def test_no_token_of_any_attribute_survives_even_without_a_harvest(profile: str, letters_only: bool) -> None:
    tokens = Tokens(letters_only)
    data = cleaned(every_attribute(tokens), profile, harvest=False)
    survivors = {place for place in tokens.found_in(data).values() if not may_stay(place, profile)}
    assert not survivors


@pytest.mark.parametrize("profile", ["basic", "research-longitudinal", "internal-qa"])
@pytest.mark.parametrize("letters_only", [True, False])
def test_no_token_of_any_structure_survives(profile: str, letters_only: bool) -> None:
    tokens = Tokens(letters_only)
    data = cleaned(hiding_places(tokens), profile, harvest=False)
    dates = {t for t, place in tokens.where.items() if is_a_date(place)}
    assert not set(tokens.found_in(data)) - dates


def is_a_date(place: str) -> bool:
    return place.split()[-1] in ("DA", "DT")


def test_the_generator_puts_a_token_into_every_row_of_the_table_that_has_room() -> None:
    tokens = Tokens()
    data = written(every_attribute(tokens))
    assert len(tokens.found_in(data)) == len(tokens.where)
    named = {place.split()[1] for place in tokens.where.values()}
    assert len(named & {f"{t:08X}" for t in attribute_rules()}) > 550


@pytest.mark.parametrize("value", ["SMITHERS", "Smithers, Waylon", "waylon   SMITHERS", "W.Smithers", "SmithersWaylon"])
@pytest.mark.parametrize("keyword", ["SeriesDescription", "ImageComments", "ProtocolName", "StudyDescription"])
def test_a_name_is_found_in_free_text_whatever_its_case_and_order(value: str, keyword: str) -> None:
    dataset = plain_slice()
    dataset.PatientName = "Smithers^Waylon"
    setattr(dataset, keyword, f"CHEST {value} 5 mm")
    data = cleaned(dataset, "internal-qa").lower()
    assert b"smithers" not in data
    assert b"waylon" not in data


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东="),
        ("ISO_IR 144", "Люксембург^Роза"),
        ("ISO_IR 100", "Äneas^Rüdiger"),
    ],
)
def test_names_in_other_scripts_leave_no_byte_behind(charset: str, name: str) -> None:
    dataset = plain_slice()
    dataset.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    dataset.PatientName = name
    dataset.SeriesDescription = name.replace("^", " ").split("=")[-1] or name.split("=")[0]
    dataset.ImageComments = name.split("=")[1].replace("^", "") if "=" in name else name
    written_text = cleaned(dataset, "internal-qa")
    back = dcmread(io.BytesIO(written_text))
    whole = str(back)
    for group in name.split("="):
        for part in group.split("^"):
            if part:
                assert part.casefold() not in whole.casefold()
                for codec in ("utf-8", "gb18030", "iso2022_jp", "euc_kr", "iso8859_5", "latin-1"):
                    encoded = part.encode(codec, "ignore")
                    assert len(encoded) < 4 or encoded not in written_text


@pytest.mark.parametrize(
    "text",
    [
        "call +49 (221) 555-0199", "mail j.doe@example.org", "see https://pacs.example.org/x?id=9", "host 10.20.30.40",
        "SSN 078-05-1120", "born 12.03.1956", "on March 3rd, 1999", "MRN00012345", "MAC 00:1b:44:11:3a:b7",
        "uid 1.2.840.113619.2.55.3.60468", "2024-02-29", "age 94 y",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["vocabulary", "search"])
def test_forms_of_the_hipaa_identifiers_are_removed_from_text(text: str, mode: str) -> None:
    from med_stylesr.deid.matching import Matcher
    from med_stylesr.deid.text import TextCleaner

    cleaner = TextCleaner(Matcher([]))
    shown = cleaner.plain(f"CHEST {text} LUNG") if mode == "vocabulary" else cleaner.masked(f"CHEST {text} LUNG")
    assert "CHEST" in shown
    assert "LUNG" in shown
    for piece in text.split()[1:] or [text]:
        if any(c.isdigit() for c in piece) or "@" in piece:
            assert piece not in shown


def test_an_identifier_split_over_two_values_is_found() -> None:
    dataset = plain_slice()
    dataset.OtherPatientIDs = "ZEPHYR998877"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ZEPHYR", "998877"]
    dataset.SeriesDescription = "ZEPHYR 99 88-77"
    data = cleaned(dataset, "internal-qa")
    assert b"ZEPHYR" not in data
    assert b"998877" not in data


def test_numbers_that_equal_an_identifier_are_removed_from_numeric_attributes() -> None:
    dataset = plain_slice()
    dataset.PatientID = "7734951"
    dataset.SeriesNumber = 7734951
    dataset.Exposure = "7734951"
    dataset.add_new(0x00189345, "FD", 10.5)
    dataset.add_new(0x00209057, "UL", 7734951)
    back = dcmread(io.BytesIO(cleaned(dataset, "basic")))
    assert back.get("SeriesNumber") is None
    assert "Exposure" not in back
    assert "InStackPositionNumber" not in back or back.InStackPositionNumber == 0
    assert back[0x00189345].value == 10.5


def test_the_same_harvest_cleans_the_other_objects_of_the_study() -> None:
    first, second = plain_slice(), plain_slice()
    first.OperatorsName = "Grimbold^Hildegard"
    second.ProtocolName = "Thorax Grimbold low dose"
    deidentifier = Deidentifier(load_profile("internal-qa"), new_key())
    for one in (first, second):
        deidentifier.harvest(round_trip(one))
    assert deidentifier.apply(round_trip(second)).ProtocolName == "Thorax low dose"


def test_an_object_without_known_rules_is_refused() -> None:
    dataset = plain_slice()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    with pytest.raises(InputError, match="no rules"):
        cleaned(dataset, "basic")


def test_ages_over_89_are_told_as_90() -> None:
    assert dcmread(io.BytesIO(cleaned(plain_slice(), "research-longitudinal"))).PatientAge == "090Y"


names = st.text(st.characters(whitelist_categories=("Lu", "Ll"), max_codepoint=0x17F), min_size=5, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    family=names,
    depth=st.integers(0, 4),
    tag=st.sampled_from(sorted(attribute_rules())),
    profile=st.sampled_from(PROFILES),
)
def test_a_harvested_name_survives_nowhere_at_any_depth(family: str, depth: int, tag: int, profile: str) -> None:
    dataset = plain_slice()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"{family}^Xy"
    inner = Dataset()
    inner.add_new(0x00081150, "UI", "1.2.840.10008.5.1.4.1.1.2")
    if (tag >> 16) not in (0, 2) and tag >> 16 < 0xFFFA and dictionary_vr(tag) in ("LO", "LT", "ST", "PN", "UT"):
        inner.add_new(tag, dictionary_vr(tag), f"x {family.upper()} y"[:64])
    for _ in range(depth):
        outer = Dataset()
        outer.add_new(0x00081140, "SQ", Sequence([inner]))
        inner = outer
    dataset.add_new(0x00081140, "SQ", Sequence([inner]))
    folded = cleaned(dataset, profile).decode("utf-8", "ignore").casefold()
    assert family.casefold() not in folded
