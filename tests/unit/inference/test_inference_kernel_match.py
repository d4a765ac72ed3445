"""Kernels told from spectra: another scan's kernel is reached, no mean moves, and what is no kernel is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from med_stylesr.inference.kernel_match import KernelMatched, radial_spectrum
from med_stylesr.inference.slices import ArraySlices

SPACING = (2.5, 0.8, 0.8)
Image = NDArray[np.float64]


def filtered(hu: Image, gain: Image) -> Image:
    return np.fft.ifft2(np.fft.fft2(hu) * gain).real


def frequency(size: int, mm: float) -> Image:
    return np.hypot(np.fft.fftfreq(size, mm)[:, None], np.fft.fftfreq(size, mm)[None])


def kernel(f: Image, f50_per_mm: float) -> Image:
    return np.exp2(-((f / f50_per_mm) ** 2))


def body(seed: int, size: int = 256, mm: float = 0.8, slices: int = 4) -> Image:
    """Ellipses of water and bone in air with some noise: the same kind of anatomy for every seed, never the same."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] - size / 2 + 0.5) * mm
    stack = []
    for _ in range(slices):
        hu = np.where((x / 90) ** 2 + (y / 70) ** 2 < 1, 40.0, -1000.0)
        for _ in range(25):
            cx, cy, r = rng.uniform(-60, 60), rng.uniform(-40, 40), rng.uniform(3, 12)
            hu[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = rng.choice([-100, -60, 100, 300, 800])
        stack.append(filtered(hu + rng.normal(0, 30, hu.shape), kernel(frequency(size, mm), 0.5)))
    return np.stack(stack)


def difference(a: Image, b: Image) -> float:
    inner = np.s_[:, 20:-20, 20:-20]
    return float(np.sqrt(((a - b)[inner] ** 2).mean()))


def matched(source: Image, wanted: Image, wanted_mm: float = 0.8, strength: float = 1.0) -> Image:
    spectrum = radial_spectrum(list(wanted), (2.5, wanted_mm, wanted_mm))
    return KernelMatched(ArraySlices(source), spectrum, SPACING, strength).read(0, len(source)).astype(float)


@pytest.mark.parametrize("f50_per_mm", [0.25, 0.4])
def test_the_kernel_of_another_body_is_reached_softer_and_sharper(f50_per_mm: float) -> None:
    other, mine = body(1), body(2)
    soft = kernel(frequency(256, 0.8), f50_per_mm)
    softer, mine_soft = filtered(other, soft), filtered(mine, soft)
    assert difference(matched(mine, softer), mine_soft) < 0.4 * difference(mine, mine_soft)
    assert difference(matched(mine_soft, other), mine) < 0.6 * difference(mine_soft, mine)


def test_the_same_body_tells_the_kernel_better_than_another() -> None:
    mine = body(2)
    gain = 1 / (1 + (frequency(256, 0.8) / 0.15) ** 1.5)
    truth = filtered(mine, gain)
    same, other = (difference(matched(mine, filtered(body(seed), gain)), truth) for seed in (2, 1))
    assert same < other
    assert same < 0.3 * difference(mine, truth)


def test_a_reference_with_other_pixels_tells_the_same_kernel() -> None:
    soft = filtered(body(1, 320, 0.64), kernel(frequency(320, 0.64), 0.25))
    mine = body(2)
    truth = filtered(mine, kernel(frequency(256, 0.8), 0.25))
    assert difference(matched(mine, soft, 0.64), truth) < 0.4 * difference(mine, truth)


def test_a_scan_that_has_the_kernel_already_stays_as_it_is() -> None:
    mine = body(2)
    np.testing.assert_allclose(matched(mine, mine), mine, atol=0.01)


def test_no_mean_moves_and_padding_and_metal_pass() -> None:
    mine = body(2)
    mine[:, :10] = -2000
    mine[:, 120:124, 120:124] = 8000
    result = matched(mine, filtered(body(1), kernel(frequency(256, 0.8), 0.25)))
    np.testing.assert_array_equal(result[:, :10], mine[:, :10])
    np.testing.assert_array_equal(result[:, 120:124, 120:124], mine[:, 120:124, 120:124])
    body_only = np.s_[:, 40:110, 40:110]
    assert result[body_only].mean() == pytest.approx(mine[body_only].mean(), abs=1.0)


def test_air_that_a_sharper_kernel_takes_below_the_scale_is_not_read_back_as_padding() -> None:
    other, mine = body(1), body(2)
    soft = kernel(frequency(256, 0.8), 0.2)
    sharpened = matched(np.maximum(filtered(mine, soft), -1024.0), other)
    assert sharpened.min() == -1024


def test_strength_leads_from_nothing_to_all_of_it() -> None:
    mine, soft = body(2), filtered(body(1), kernel(frequency(256, 0.8), 0.25))
    np.testing.assert_allclose(matched(mine, soft, strength=0.0), mine, atol=1e-3)
    full = difference(matched(mine, soft), mine)
    assert 0.3 * full < difference(matched(mine, soft, strength=0.5), mine) < 0.9 * full
