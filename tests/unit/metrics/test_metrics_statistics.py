"""Intervals cover, corrections correct, concordance punishes what correlation forgives."""

import numpy as np
import pytest

from med_stylesr.metrics.statistics import bootstrap_mean, concordance, holm, paired_wilcoxon


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = bootstrap_mean(rng.normal(5, 2, 60), block=1, resamples=400, seed=trial)
        hits += interval.low <= 5 <= interval.high
    assert 0.89 <= hits / 200 <= 0.99


def test_blocks_widen_the_interval_of_values_that_resemble_their_neighbours():
    rng = np.random.default_rng(1)
    slices = np.repeat(rng.normal(0, 1, 40), 10)
    single, blocks = (bootstrap_mean(slices, block=b) for b in (1, 10))
    assert blocks.high - blocks.low > 1.8 * (single.high - single.low)
    assert single.mean == blocks.mean


def test_interval_of_too_few_values_is_not_invented():
    assert np.isnan(bootstrap_mean(np.array([1.0, 2.0]), block=1).low)
    assert np.isnan(bootstrap_mean(np.array([np.nan]), block=1).mean)


def test_concordance_is_one_only_for_equal_series():
    x = np.arange(20.0)
    assert concordance(x, x) == pytest.approx(1)
    assert concordance(x, -x + 19) == pytest.approx(-1)
    # Correlation of both is 1; an offset and a gain must cost.
    assert concordance(x, x + 5) < 0.8
    assert concordance(x, 2 * x) < 0.8


def test_holm_matches_its_published_procedure():
    # Sorted p times 4, 3, 2, 1, made monotone.
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": float("nan")})
    assert [adjusted[k] for k in "dacb"] == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert np.isnan(adjusted["e"])


def test_wilcoxon_finds_a_consistent_difference_and_no_other():
    x = np.arange(12.0)
    assert paired_wilcoxon(x + 1 + x / 100, x) < 0.001
    assert paired_wilcoxon(x, x) == 1
    assert np.isnan(paired_wilcoxon(x[:4] + 1, x[:4]))
