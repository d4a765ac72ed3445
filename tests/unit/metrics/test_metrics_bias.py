"""The mean HU of each tissue: a shift is found, noise is not mistaken for one."""

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.metrics.bias import bland_altman, tissue_shift

SPACING = (2.5, 1.4, 1.4)


@pytest.fixture(scope="module")
def slab():
    """Air, lung, fat, soft tissue and bone side by side, noise-free (6, 120, 200)."""
    columns = np.repeat([-1000.0, -830.0, -90.0, 45.0, 600.0], 40)
    return np.broadcast_to(columns, (6, 120, 200)).copy()


def test_noise_reduction_alone_is_no_bias(slab):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 50, slab.shape)
    shifts = tissue_shift(slab + noise, slab + 0.2 * noise, SPACING)
    assert set(shifts) == {"air", "lung", "fat", "soft tissue", "bone"}
    assert all(abs(s.shift_hu) < 0.6 for s in shifts.values())
    assert all(abs(s.shift_hu) < 4 * s.standard_error_hu for s in shifts.values())


def test_blur_across_organ_borders_is_no_bias_inside_the_organs(slab):
    shifts = tissue_shift(slab, ndimage.gaussian_filter(slab, (0, 0.7, 0.7)), SPACING)
    assert all(abs(s.shift_hu) < 0.2 for s in shifts.values())


def test_a_shift_in_one_tissue_is_found_in_that_tissue(slab):
    after = slab + np.where(np.abs(slab - 45) < 1, -1.8, 0)
    shifts = tissue_shift(slab, after, SPACING)
    assert shifts["soft tissue"].shift_hu == pytest.approx(-1.8, abs=1e-6)
    assert shifts["bone"].shift_hu == pytest.approx(0, abs=1e-6)


def test_absent_tissues_are_left_out(slab):
    assert "contrast" not in tissue_shift(slab, slab, SPACING)


def test_different_grids_are_refused(slab):
    with pytest.raises(ValueError, match="grids"):
        tissue_shift(slab, slab[:, ::2], SPACING)


def test_bland_altman_limits_hold_95_percent_of_normal_differences():
    rng = np.random.default_rng(1)
    a = rng.normal(40, 10, 20000)
    agreement = bland_altman(a + rng.normal(2, 3, a.size), a)
    assert agreement.bias == pytest.approx(2, abs=0.1)
    inside = (agreement.difference > agreement.low) & (agreement.difference < agreement.high)
    assert inside.mean() == pytest.approx(0.95, abs=0.01)
