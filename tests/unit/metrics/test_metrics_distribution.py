"""Distances between sets: closed forms for Gaussians, zero for equals."""

import numpy as np
import pytest

from med_stylesr.metrics.distribution import frechet_distance, gram_distance, kernel_distance, nps_cosine
from med_stylesr.metrics.texture import RadialProfile


def test_frechet_distance_of_gaussians_has_its_closed_form():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (20000, 3))
    # |Δμ|² + Σ (σa − σb)² for independent features.
    y = x * np.array([1, 2, 0.5]) + np.array([3, 0, 0])
    assert frechet_distance(x, y) == pytest.approx(9 + 1 + 0.25, rel=0.03)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_survives_fewer_images_than_features():
    rng = np.random.default_rng(1)
    assert frechet_distance(*rng.normal(size=(2, 5, 64))) > 0


def test_kernel_distance_is_unbiased_at_zero_and_grows_with_shift():
    rng = np.random.default_rng(2)
    same = [kernel_distance(*rng.normal(size=(2, 40, 8))) for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60)
    x, y = rng.normal(size=(2, 200, 8))
    assert 0 < kernel_distance(x, y + 0.5) < kernel_distance(x, y + 1)


def test_features_of_different_length_are_refused():
    with pytest.raises(ValueError, match="feature vectors"):
        frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))


def test_gram_distance_ignores_where_and_sees_how_strong():
    maps = np.random.default_rng(3).normal(size=(6, 20, 20))
    assert gram_distance(maps[:, ::-1], maps) == pytest.approx(0)
    assert gram_distance(2 * maps, maps) == pytest.approx(9)


def test_nps_cosine_ignores_dose_and_sees_texture():
    f = np.linspace(0.05, 0.7, 30)
    soft, sharp = (RadialProfile(f, f * np.exp(-((f / w) ** 2))) for w in (0.2, 0.6))
    quarter_dose = RadialProfile(f, 4 * soft.power)
    assert nps_cosine(soft, quarter_dose) == pytest.approx(1)
    assert nps_cosine(soft, sharp) < 0.8


def test_pairs_of_equal_images_are_at_distance_zero_and_need_equal_numbers():
    x = np.random.default_rng(0).normal(size=(30, 8))
    assert kernel_distance(x, x, paired=True) == pytest.approx(0, abs=1e-12)
    assert kernel_distance(x, x) < 0
    with pytest.raises(ValueError, match="pairs"):
        kernel_distance(x, x[:20], paired=True)
