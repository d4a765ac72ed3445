"""Profiles, tables and codes follow the standard's data and refuse what does not."""

from __future__ import annotations

import pathlib

import pytest
import yaml

from med_stylesr.deid import load_profile
from med_stylesr.deid.actions import resolve
from med_stylesr.deid.codes import UNKNOWN_CODE, clean_code, verhoeff_holds
from med_stylesr.deid.profile import parse_profile, profile_folder
from med_stylesr.deid.table import (
    DATE_OPTIONS,
    OPTIONS,
    allowed_tags,
    attribute_rules,
    concept_rules,
    iods_by_sop_class,
    ps315,
)
from med_stylesr.errors import UsageError

CT = "1.2.840.10008.5.1.4.1.1.2"


def shipped(name: str = "basic") -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((profile_folder() / f"{name}.yaml").read_text())
    return content


def test_the_table_is_whole_and_says_where_it_is_from() -> None:
    source = ps315()["source"]
    assert source["edition"]
    assert len(source["sha256_of_part15_xml"]) == 64
    assert source["common_tags_agreeing"] > 640
    assert source["only_there"] == []
    assert len(attribute_rules()) > 640
    assert len(concept_rules()) > 200


def test_every_option_of_the_table_is_one_a_profile_can_have() -> None:
    named = {o for rule in (*attribute_rules().values(), *concept_rules().values()) for o in rule.options}
    assert named <= set(OPTIONS)


def test_no_text_of_a_person_is_on_the_allow_list() -> None:
    listed_in_table = {0x00100010, 0x00100020, 0x00080090, 0x00081070, 0x00102000}
    assert listed_in_table <= set(attribute_rules())
    assert 0x04000500 not in allowed_tags()


@pytest.mark.parametrize(
    ("code", "tag", "action"),
    [
        ("X/Z/D", 0x00080023, "empty"),
        ("X/D", 0x00080032, "remove"),
        ("Z", 0x00100010, "empty"),
        ("X/Z/U*", 0x00082112, "uid"),
    ],
)
def test_compound_actions_are_resolved_by_the_type_in_the_iod(code: str, tag: int, action: str) -> None:
    assert resolve(code, tag, iods_by_sop_class()[CT], True) == action


@pytest.mark.parametrize("name", ["basic", "share-minimal", "research-longitudinal", "internal-qa"])
def test_shipped_profiles_load(name: str) -> None:
    assert load_profile(name).name == name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("options", ["retain_everything"]), ("options", list(DATE_OPTIONS)),
        ("free_text", "keep"), ("max_age_years", 120), ("whole_weeks", "yes"), ("burned_in", "black_out"),
        ("heads", "deface"), ("surprise", 1), ("rules", [{"action": "keep"}]),
        ("rules", [{"action": "publish", "vr": "PN"}]),
        ("private", [{"creator": "X", "group": "0010", "element": "01"}]), ("regions", [{"rows": [0, 1]}]),
    ],
)  # fmt: skip
def test_a_profile_that_breaks_the_schema_is_refused(key: str, value: object) -> None:
    with pytest.raises(UsageError):
        parse_profile({**shipped(), key: value}, "test")


def test_a_missing_setting_is_named() -> None:
    content = shipped()
    del content["heads"]
    with pytest.raises(UsageError, match="heads"):
        parse_profile(content, "test")


def test_an_unknown_profile_names_the_shipped_ones(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="share-minimal"):
        load_profile(str(tmp_path / "none.yaml"))


def test_own_rules_win_over_the_table() -> None:
    rules = [
        {"action": "keep", "tag": "StudyDescription"},
        {"action": "remove", "keyword": "Exposure.*"},
        {"action": "dummy", "vr": "PN"},
    ]
    profile = parse_profile({**shipped(), "rules": rules}, "test")
    assert profile.own_action(0x00081030) == "keep"
    assert profile.own_action(0x00181150) == "remove"
    assert profile.own_action(0x00080090) == "dummy"
    assert profile.own_action(0x00180060) is None


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (("113100", "DCM", "JOHN DOE"), True), (("T-D3000", "SRT", "JOHN DOE"), True),
        (("mm", "UCUM", "JOHN DOE"), True), (("51185008", "SCT", "JOHN DOE"), True),
        (("12345678", "SCT", "Chest"), False), (("DOE", "99LOCAL", "Chest"), False),
        (("{Doe}", "UCUM", "x"), False), (("JOHNDOE", "DCM", "x"), False),
    ],
)  # fmt: skip
def test_codes_keep_their_standard_meaning_and_nothing_else(code: tuple[str, str, str], kept: bool) -> None:
    clean = clean_code(*code)
    assert (clean is not None) == kept
    assert "DOE" not in str(clean)


def test_check_digits_of_snomed_ct_hold() -> None:
    assert verhoeff_holds(UNKNOWN_CODE[0])
    assert not any(verhoeff_holds(UNKNOWN_CODE[0][:-1] + d) for d in "012345789")


def test_the_coverage_page_is_current() -> None:
    import importlib.util

    tool = pathlib.Path(__file__).parents[3] / "tools" / "make_deid_coverage.py"
    spec = importlib.util.spec_from_file_location("make_deid_coverage", tool)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page()
