"""Any strength from one run: both ends exact, linear between them, within the rounding of HU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from MedStyleSRLib.blend import Blend, from_middle

RNG = np.random.default_rng(5)
BASE = RNG.integers(-1024, 3000, (6, 8, 8)).astype(np.int16)
CHANGE = RNG.normal(0, 40, BASE.shape)


def blend(at: float = 1.0) -> Blend:
    return Blend(BASE, (BASE + at * CHANGE).astype(np.float32), at, np.int16)


def test_strength_zero_is_the_input_bit_for_bit_and_the_run_s_own_strength_is_its_result() -> None:
    whole = Blend(BASE, np.rint(BASE + CHANGE).astype(np.int16), 1.0, np.int16)
    np.testing.assert_array_equal(whole.slab(0.0, 0, 6), BASE)
    np.testing.assert_array_equal(whole.slab(1.0, 0, 6), whole.full)


@given(st.floats(0, 1), st.sampled_from([0.3, 0.5, 1.0]))
def test_every_strength_is_within_rounding_of_another_run_whatever_strength_the_run_had(
    strength: float, at: float
) -> None:
    run = BASE + strength * CHANGE
    assert np.abs(blend(at).slab(strength, 0, 6) - run).max() <= 0.51
    assert np.abs(blend(at).difference(strength, 0, 6) - strength * CHANGE).max() <= 0.51


@given(st.floats(0, 1))
def test_of_a_result_that_came_in_whole_hu_every_strength_is_within_one_hu(strength: float) -> None:
    came = Blend(BASE, np.rint(BASE + CHANGE).astype(np.int16), 1.0, np.int16)
    assert np.abs(came.slab(strength, 0, 6) - np.rint(BASE + strength * CHANGE)).max() <= 1


def test_values_beyond_16_bits_saturate_and_do_not_wrap() -> None:
    far = Blend(np.full((1, 1, 1), 32000, np.int16), np.full((1, 1, 1), 32700, np.float32), 0.5, np.int16)
    assert far.slab(1.0, 0, 1)[0, 0, 0] == 32767


def test_ends_on_different_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        Blend(BASE, BASE[:3], 1.0, np.int16)


@given(st.integers(1, 60), st.integers(0, 59), st.integers(1, 9))
def test_every_slice_is_blended_once_those_in_view_first(total: int, first: int, size: int) -> None:
    ranges = from_middle(total, min(first, total - 1), size)
    assert sorted(k for a, b in ranges for k in range(a, b)) == list(range(total))
    assert ranges[0][0] <= min(first, total - 1) < ranges[0][1]
