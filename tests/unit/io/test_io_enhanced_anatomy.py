"""Codes that stand for words of older headers are those of the standard's own lists."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from med_stylesr.io.ct_conditions import _UNPAIRED
from med_stylesr.io.enhanced_anatomy import _REGIONS, anatomy
from med_stylesr.io.enhanced_contrast import _ROUTES, contrast_agents

MEANINGS = {
    (code, meaning, group)
    for names in concepts["SCT"].values()
    for code, (meaning, groups) in names.items()
    for group in groups
}


def header(**values: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_every_region_is_in_the_context_group_of_ct_anatomy_under_its_meaning() -> None:
    for code, meaning in _REGIONS.values():
        assert (code, meaning, 4030) in MEANINGS


def test_every_route_is_in_the_context_group_of_routes_under_its_meaning() -> None:
    for code in _ROUTES.values():
        assert (code.value, code.meaning, 11) in MEANINGS


def test_what_a_header_does_not_tell_is_not_made_up() -> None:
    nowhere = anatomy(header())
    assert nowhere.FrameLaterality == "U"
    assert nowhere.AnatomicRegionSequence[0].CodeMeaning == "Anatomical Structure"
    assert anatomy(header(BodyPartExamined="FLUX CAPACITOR")) == nowhere
    assert contrast_agents(header(ContrastBolusAgent="", ContrastBolusVolume="0")) == []


def test_a_side_and_a_region_are_kept() -> None:
    knee = anatomy(header(BodyPartExamined="KNEE", Laterality="L"))
    assert knee.FrameLaterality == "L"
    assert knee.AnatomicRegionSequence[0].CodeMeaning == "Knee"
    assert "KNEE" not in _UNPAIRED


def test_an_agent_of_unknown_way_says_so() -> None:
    (agent,) = contrast_agents(header(ContrastBolusAgent="ULTRAVIST"))
    assert agent.ContrastBolusAdministrationRouteSequence[0].CodeMeaning == "Unknown"
    assert agent.ContrastBolusAgentNumber == 1
