"""The noise told at a strength is the noise there is."""

from __future__ import annotations

import numpy as np
import pytest
from MedStyleSRLib.noise import correction_variance, noise_at

NOISE = np.random.default_rng(2).normal(0, 30, (4, 128, 128)).astype(np.float32)
ANATOMY = np.full(NOISE.shape, 40.0, np.float32)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.8, 1.0])
def test_noise_at_a_share_is_that_of_the_blended_image(share: float) -> None:
    """A denoiser that takes 80 % of the noise and adds some of its own."""
    base = ANATOMY + NOISE
    full = ANATOMY + 0.2 * NOISE + np.random.default_rng(4).normal(0, 4, NOISE.shape).astype(np.float32)
    variance = correction_variance(base, full, (1, 1, 1))
    told = noise_at(share, float(base.std()), float(full.std()), variance)
    assert told == pytest.approx(float((base + share * (full - base)).std()), rel=0.03)


def test_a_slope_of_the_anatomy_is_no_noise() -> None:
    slope = np.linspace(0, 30, 128, dtype=np.float32)[None, None, :]
    base = ANATOMY + NOISE + slope
    plain = correction_variance(ANATOMY + NOISE, ANATOMY, (1, 1, 1))
    assert correction_variance(base, ANATOMY + slope, (1, 1, 1)) == pytest.approx(plain, rel=0.1)


def test_without_soft_tissue_or_with_a_tiny_scan_there_is_no_variance_but_still_a_noise_at_both_ends() -> None:
    assert correction_variance(NOISE - 1000, NOISE - 1000, (1, 1, 1)) is None
    assert correction_variance(NOISE[:, :8, :8], NOISE[:, :8, :8], (1, 1, 1)) is None
    assert noise_at(0.0, 30.0, 12.0, None) == pytest.approx(30.0)
    assert noise_at(1.0, 30.0, 12.0, None) == pytest.approx(12.0)
    assert noise_at(0.5, None, None, None) is None


def test_of_a_super_resolved_scan_the_noise_is_told_at_the_resolution_of_the_input() -> None:
    base, full = ANATOMY + NOISE, ANATOMY + 0.4 * NOISE
    repeated = [np.repeat(np.repeat(np.repeat(x, 2, 0), 2, 1), 2, 2) for x in (base, full)]
    plain = correction_variance(base, full, (1, 1, 1))
    assert correction_variance(*repeated, (2, 2, 2)) == pytest.approx(plain, rel=1e-3)
