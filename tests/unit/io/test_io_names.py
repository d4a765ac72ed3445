"""Names made of header values are safe in every file system and stay in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med_stylesr.io.names import MAX_NAME, safe_component, unique

RESERVED = {"con", "prn", "aux", "nul", "com1", "lpt9"}


@given(st.text())
def test_any_text_makes_one_safe_path_component(value: str) -> None:
    name = safe_component(value, "unnamed")
    assert name
    assert Path(name).name == name
    assert Path("/dest", name).resolve().parent == Path("/dest")
    assert not set(name) & set('/\\:*?"<>|\0\n\r')
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert name.split(".")[0].strip().lower() not in RESERVED
    assert len(name.encode()) <= MAX_NAME
    assert name == safe_component(value, "unnamed")


@pytest.mark.parametrize("value", ["", ".", "..", "...", "///", " ", "\0", "../..", "~", "\ud800"])
def test_hostile_values_give_a_name_inside_the_folder(value: str) -> None:
    name = safe_component(value, "unnamed")
    assert name not in ("", ".", "..")
    assert "/" not in name


def test_ordinary_values_stay_as_they_are() -> None:
    for value in ("LIDC-IDRI-0001", "1.3.6.1.4.1.14519.5.2.1.99.1071", "Müller_42", "山田"):
        assert safe_component(value, "unnamed") == value


def test_long_values_that_differ_only_at_the_end_stay_apart() -> None:
    assert safe_component("x" * 100 + "1", "unnamed") != safe_component("x" * 100 + "2", "unnamed")


@given(st.lists(st.sampled_from(["a", "A", "a.nii.gz", "a-2", "1.2.3", "ä.b"]), max_size=12))
def test_names_in_use_are_never_given_twice_even_where_case_is_ignored(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        given_name = unique(name, taken)
        assert given_name.lower() not in taken
        taken.add(given_name.lower())
