"""Which slices of the scan a slice of the result is made of: SourceImageSequence names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.inference.slices import ArraySlices

SPACING = (2.5, 0.8, 0.8)
SLICES, MIDDLE = 29, 14


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer(BUNDLE_2D, "cpu", runtime="torch", precision="float32")


@pytest.mark.parametrize(
    ("options", "reach"),
    [
        (EnhanceOptions(request=StrengthRequest(dose_fraction=0.25)), 1),
        (EnhanceOptions(scale=(1, 2, 2), request=StrengthRequest(dose_fraction=0.25)), 2),
        (EnhanceOptions(scale=(1, 2, 2), request=StrengthRequest(strength=0.5)), 1),
        (EnhanceOptions(style="soft", request=StrengthRequest(dose_fraction=0.25)), 2),
        (EnhanceOptions(scale=(1, 2, 2), style="soft", request=StrengthRequest(dose_fraction=0.25)), 3),
        (EnhanceOptions(scale=(2, 1, 1), request=StrengthRequest(dose_fraction=0.25)), None),
        (EnhanceOptions(scale=(2, 2, 2), request=StrengthRequest(dose_fraction=0.25)), None),
    ],
    ids=["noise", "finer", "finer, given strength", "kernel", "finer, kernel", "thinner", "thinner and finer"],
)
def test_a_slice_depends_on_the_slices_within_its_reach_and_no_other(
    enhancer: Enhancer, options: EnhanceOptions, reach: int | None
) -> None:
    hu = np.random.default_rng(0).normal(40, 30, (SLICES, 40, 40)).astype(np.float32)
    plan = enhancer.open(ArraySlices(hu), SPACING, options).plan

    def result(scan: np.ndarray) -> tuple[np.ndarray, Any]:
        enhancement = enhancer.open(ArraySlices(scan), SPACING, options, plan)
        return np.concatenate([slab for _, slab in enhancement.slabs()]), enhancement

    before, enhancement = result(hu)
    hu[MIDDLE] += np.random.default_rng(1).normal(0, 60, hu.shape[1:])
    change = np.abs(result(hu)[0] - before).reshape(SLICES, -1).max(axis=1)
    changed = np.abs(np.flatnonzero(change > 1e-2) - MIDDLE)
    assert 1 <= changed.max() <= enhancement.reach
    if reach is not None:
        assert enhancement.reach == reach
        assert changed.max() >= reach - 1
