"""The transforms clean what they are given and leave the rest of the dictionary alone."""

from __future__ import annotations

from deid_tokens import plain_slice, round_trip

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key
from med_stylesr.transforms.deidentify import DeidentifyDicomd


def test_a_name_in_one_header_is_removed_from_the_others() -> None:
    first, second = round_trip(plain_slice()), round_trip(plain_slice())
    second.SeriesDescription = "CHEST Oakenshield"
    second.ReferringPhysicianName = ""
    transform = DeidentifyDicomd("headers", Deidentifier(load_profile("internal-qa"), new_key()), derived=False)
    out = transform({"headers": [first, second], "image": 1})
    assert out["headers"][1].SeriesDescription == "CHEST"
    assert out["image"] == 1
    assert second.SeriesDescription == "CHEST Oakenshield"
