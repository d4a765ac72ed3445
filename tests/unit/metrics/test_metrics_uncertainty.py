"""Spread over predictions, and the way back to the input."""

import numpy as np
import pytest

from med_stylesr.metrics.uncertainty import blend_back, ensemble, local_spread, trust

SPACING = (2.0, 1.0, 1.0)


def test_ensemble_matches_numpy_in_one_pass():
    stack = np.random.default_rng(0).normal(-900, 3, (7, 4, 16, 16)).astype(np.float32)
    mean, sd = ensemble(iter(stack))
    np.testing.assert_allclose(mean, stack.mean(0), atol=1e-3)
    np.testing.assert_allclose(sd, stack.std(0, ddof=1), atol=1e-3)


def test_one_prediction_has_no_uncertainty_and_shapes_must_agree():
    with pytest.raises(ValueError, match="two"):
        ensemble([np.zeros((1, 2, 2))])
    with pytest.raises(ValueError, match="shapes"):
        ensemble([np.zeros((1, 2, 2)), np.zeros((1, 2, 3))])


def test_certain_voxels_keep_the_prediction_uncertain_ones_the_input():
    uncertainty = np.zeros((2, 30, 30))
    uncertainty[0, 10:20, 10:20] = 50
    source, prediction = np.zeros((2, 30, 30)), np.full((2, 30, 30), 100.0)
    weight = trust(uncertainty, SPACING, full_below_hu=5, none_above_hu=20)
    blended = blend_back(source, prediction, weight)
    assert (blended[0, 10:20, 10:20] == 0).all()
    assert (blended[1] == 100).all()
    assert (blended[0, :5] == 100).all()
    assert 0 < blended[0, 9, 15] < 100


def test_trust_falls_as_uncertainty_grows():
    levels = np.linspace(0, 30, 31)[:, None, None] * np.ones((1, 8, 8))
    weight = trust(levels, SPACING, full_below_hu=5, none_above_hu=20)[:, 4, 4]
    assert (np.diff(weight) <= 0).all()
    assert weight[0] == 1
    assert weight[-1] == 0


def test_spread_of_a_few_predictions_is_steadied_without_changing_its_level():
    stack = np.random.default_rng(0).normal(0, 12, (4, 1, 200, 200))
    rough = stack.std(0, ddof=1)
    steady = local_spread(rough, (2.0, 0.7, 0.7))
    assert np.sqrt((steady**2).mean()) == pytest.approx(12, rel=0.02)
    assert steady.std() < 0.4 * rough.std()


def test_limits_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="full_below_hu"):
        trust(np.zeros((1, 4, 4)), SPACING, full_below_hu=20, none_above_hu=5)
