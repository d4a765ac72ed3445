"""Names of reconstruction kernels, vendor by vendor."""

from __future__ import annotations

import pytest

from med_stylesr.io.kernel_names import CLASSES, is_iterative, kernel_class

GE, SIEMENS, PHILIPS, TOSHIBA, CANON = "GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "TOSHIBA", "CANON_MEC"


@pytest.mark.parametrize(
    ("manufacturer", "soft_tissue", "lung"),
    [(GE, "STANDARD", "BONE"), (SIEMENS, "B30f", "B50f"), (PHILIPS, "C", "D"), (TOSHIBA, "FC10", "FC51")],
)
def test_kernels_that_the_lung_screening_trial_took_for_equals_are_of_one_class(
    manufacturer: str, soft_tissue: str, lung: str
) -> None:
    assert kernel_class(manufacturer, [soft_tissue]) == "standard"
    assert kernel_class(manufacturer, [lung]) == "sharp"


@pytest.mark.parametrize(
    ("manufacturer", "names"),
    [
        (GE, ["SOFT", "STANDARD", "DETAIL", "LUNG", "BONEPLUS", "EDGE"]),
        (SIEMENS, ["B10f", "B20f", "B31s", "B45f", "B46f", "B60f", "B70f", "B80s"]),
        (SIEMENS, ["Br24f", "Br40d", "Bl57d", "Br69", "Br76"]),
        (PHILIPS, ["A", "B", "C", "L", "YB", "E"]),
        (CANON, ["FC08", "FC18", "FC30", "FC52", "FC86"]),
    ],
)
def test_a_vendors_kernels_keep_their_order_from_smooth_to_sharp(manufacturer: str, names: list[str]) -> None:
    ranks = [CLASSES.index(str(kernel_class(manufacturer, [name]))) for name in names]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) > 1


@pytest.mark.parametrize(
    ("manufacturer", "name"),
    [
        (SIEMENS, "H30s"),
        (SIEMENS, "Hr40f"),
        (SIEMENS, "T20s"),
        (TOSHIBA, "FC21"),
        (TOSHIBA, "FC64"),
        (GE, "B30f"),
        (PHILIPS, "UB"),
        ("Phantom Works", "STANDARD"),
        ("", "STANDARD"),
        (GE, ""),
    ],
)
def test_kernels_of_heads_and_unknown_names_have_no_class(manufacturer: str, name: str) -> None:
    assert kernel_class(manufacturer, [name]) is None


def test_no_kernel_at_all_has_no_class() -> None:
    assert kernel_class(GE, []) is None


def test_writing_and_second_values_do_not_matter_for_the_class() -> None:
    assert kernel_class("Siemens Healthineers", [" br40D ", "3"]) == "standard"
    assert kernel_class("GE MEDICAL SYSTEMS", ["standard"]) == "standard"


def test_iterative_reconstruction_is_told_by_siemens_names() -> None:
    assert is_iterative(SIEMENS, ["I31f", "3"])
    assert is_iterative(SIEMENS, ["Br40d", "3"])
    assert not is_iterative(SIEMENS, ["B31f"])
    assert not is_iterative(GE, ["STANDARD"])
