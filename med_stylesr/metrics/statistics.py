"""Uncertainty and significance: bootstrap intervals, paired tests with Holm's correction, concordance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: NDArray[Any], *, block: int, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Mean with a percentile interval from the circular block bootstrap.

    Neighbouring slices of a scan resemble each other; resampling them one by one would give intervals that are too
    narrow. Whole blocks of neighbours are drawn instead. Use `block=1` for independent values such as patients.

    Args:
        values: shape (n,), in slice order; values that are not finite are left out.
        block: length of a block; cut to a quarter of n, or all samples would be alike.
        resamples: bootstrap samples.
        confidence: coverage of the interval.
        seed: of the generator; equal seeds give equal intervals.

    Returns:
        Mean and interval; NaN bounds with fewer than three values.

    Source:
        Politis & Romano, in: Exploring the Limits of Bootstrap (1992) 263 (circular block bootstrap).
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if x.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    if x.size < 3:
        return Interval(float(x.mean()), float("nan"), float("nan"))
    length = max(1, min(block, x.size // 4))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, x.size, (resamples, -(-x.size // length)))
    index = (starts[..., None] + np.arange(length)) % x.size
    means = x[index.reshape(resamples, -1)[:, : x.size]].mean(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(x.mean()), float(low), float(high))


def concordance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Lin's concordance correlation coefficient: 2 s_ab / (s_a² + s_b² + (ā − b̄)²), in [−1, 1].

    NaN with fewer than two pairs or when both series are one and the same constant.

    Source:
        Lin, Biometrics 45 (1989) 255, doi:10.2307/2532051.
    """
    x, y = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if x.size < 2:
        return float("nan")
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else float("nan")


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values for multiple comparison (step-down Bonferroni); NaN stays NaN and does not count.

    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.02, 'b': 0.04}

    Source:
        Holm, Scand J Stat 6 (1979) 65.
    """
    valid = sorted((p, name) for name, p in p_values.items() if np.isfinite(p))
    adjusted = dict.fromkeys(p_values, float("nan"))
    running = 0.0
    for rank, (p, name) in enumerate(valid):
        running = max(running, min(1.0, p * (len(valid) - rank)))
        adjusted[name] = running
    return adjusted


def paired_wilcoxon(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Two-sided p value of the Wilcoxon signed-rank test on pairs; 1.0 if no pair differs, NaN for fewer than five.

    With five pairs the smallest possible p is 0.0625: significance at 5 % needs at least six pairs.

    Source:
        Wilcoxon, Biometrics Bull 1 (1945) 80, doi:10.2307/3001968.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 5:
        return float("nan")
    difference = x[both] - y[both]
    if not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference).pvalue)
