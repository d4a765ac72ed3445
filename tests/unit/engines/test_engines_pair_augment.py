"""Variety of training pairs: noise keeps its strength, kernels do what they say, pixel sizes keep the field of view."""

from __future__ import annotations

import numpy as np
import pytest

from med_stylesr.engines.pair_augment import (
    MARGIN,
    Variety,
    another,
    mixture,
    random_response,
    random_thickness,
    random_zoom,
    refilter,
    source_size,
    zoomed,
)


def test_mixed_draws_have_the_strength_of_one() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0, 3, (4, 200_000))
    for probability in (0.0, 1.0):
        mixed = mixture(rng, 4, probability) @ draws
        assert mixed.std() == pytest.approx(3.0, rel=0.02)


def test_unmixed_noise_is_one_draw_untouched() -> None:
    weights = mixture(np.random.default_rng(1), 5, 0.0)
    assert sorted(weights.tolist()) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("order", [2.0, 3.0])
def test_a_roll_off_halves_a_wave_at_its_frequency_and_keeps_the_mean(order: float) -> None:
    columns = np.arange(80)
    wave = np.cos(2 * np.pi * 0.2 * columns)[None].repeat(80, 0).astype(np.float32)
    seen = refilter(wave + 7, 0.2, order, 0.0)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_allclose(seen[inner], 7 + 0.5 * wave[inner], atol=1e-4)


def test_what_wraps_around_stays_within_the_margin() -> None:
    step = np.zeros((64, 64), dtype=np.float32)
    step[:, 32:] = 1000
    wide = np.pad(step, 40, mode="edge")
    for f50, order, boost in ((0.12, 1.5, 0.0), (0.2, 3.0, 0.0), (0.35, 2.0, 6.0)):
        ours = refilter(step, f50, order, boost)
        truth = refilter(wide, f50, order, boost)[40:-40, 40:-40]
        inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
        assert np.abs(ours[inner] - truth[inner]).max() < 8


def test_boost_is_for_kernels_that_are_not_soft() -> None:
    rng = np.random.default_rng(0)
    for f50, _, boost in filter(None, (random_response(rng, Variety(refilter=0.9)) for _ in range(300))):
        assert 0.12 <= f50 <= 0.8
        assert boost == 0 or f50 > 0.3


@pytest.mark.parametrize("zoom", [0.5, 1.0, 1.31, 1.7])
def test_zoom_gives_the_asked_size_and_keeps_flat_tissue(zoom: float) -> None:
    side = source_size(64, zoom)
    flat = np.full((2, side, side), 40, dtype=np.float32)
    result = zoomed(flat, zoom, (64, 64))
    assert result.shape == (2, 64, 64)
    np.testing.assert_allclose(result, 40, atol=1e-3)


def test_magnified_noise_is_coarser_and_halved_noise_weaker() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 10, (1, 128, 128)).astype(np.float32)

    def neighbours(x: np.ndarray) -> float:
        return float(np.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1])

    assert neighbours(zoomed(noise, 1.7, (128, 128))) > neighbours(noise) + 0.3
    assert zoomed(noise, 0.5, (64, 64)).std() == pytest.approx(5, rel=0.05)


def test_zooms_cover_both_ways_with_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_zoom(rng, Variety(magnify=0.3, halve=0.2)) for _ in range(4000)])
    assert (drawn == 0.5).mean() == pytest.approx(0.2, abs=0.03)
    assert (drawn > 1).mean() == pytest.approx(0.3, abs=0.03)
    assert drawn.max() <= 1.7


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_another_mixture_is_independent_of_the_first(probability: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0, 1, (3, 100_000))
    for _ in range(5):
        weights = mixture(rng, 3, probability)
        first, second = weights @ draws, another(rng, weights) @ draws
        assert second.std() == pytest.approx(1, rel=0.02)
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_slices_are_made_thicker_within_the_limit_only() -> None:
    rng = np.random.default_rng(0)
    variety = Variety(thicken=1.0, thickest_mm=6.0)
    assert {random_thickness(rng, variety, 1.5) for _ in range(200)} == {2, 3, 4}
    assert random_thickness(rng, variety, 5.0) == 1
    assert random_thickness(rng, Variety(), 1.0) == 1
