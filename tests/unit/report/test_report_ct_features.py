"""Distances on CT features: zero for equal images, growing with damage, told under their own name."""

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.report.ct_features import FEATURES, distances, square_features


@pytest.fixture(scope="module")
def slices():
    """Five slices of band-limited noise on slow structure, and a mask of their middle."""
    rng = np.random.default_rng(0)
    structure = ndimage.gaussian_filter(rng.standard_normal((5, 320, 320)), (0, 12, 12)) * 1500
    grain = ndimage.gaussian_filter(rng.standard_normal(structure.shape), (0, 0.7, 0.7))
    body = np.zeros(structure.shape, dtype=bool)
    body[:, 20:300, 20:300] = True
    return (40 + structure + 10 * grain / grain.std()).astype(np.float32), grain / grain.std(), body


def test_equal_images_have_no_distance(slices):
    hu, _, body = slices
    told = distances(hu, hu, body)
    assert told["features"] == FEATURES
    assert told["squares"] == 5 * 8 * 8
    assert told["frechet"] == pytest.approx(0, abs=1e-4)
    assert told["kernel"] == pytest.approx(0, abs=1e-9)
    assert told["gram"] == 0


def test_more_noise_is_farther_away(slices):
    hu, grain, body = slices
    levels = [distances((hu + sd * grain).astype(np.float32), hu, body) for sd in (10, 30)]
    for name in ("frechet", "kernel", "gram"):
        assert levels[0][name] < levels[1][name]


def test_without_body_nothing_is_told_and_few_squares_give_no_frechet_distance(slices):
    hu, grain, body = slices
    assert distances(hu, hu, np.zeros_like(body)) is None
    few = distances(hu[:1], hu[:1] + 5 * grain[:1].astype(np.float32), body[:1])
    assert few["frechet"] is None
    assert few["kernel"] is not None


def test_rows_and_columns_beyond_whole_squares_are_left_out(slices):
    hu, _, _ = slices
    assert square_features(hu[:1, :100, :70], np.ones((1, 100, 70), bool)).shape == (6, 272)
