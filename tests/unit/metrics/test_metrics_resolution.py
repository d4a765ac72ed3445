"""Transfer functions of phantoms whose blur is known."""

import numpy as np
import pytest
from scipy import ndimage, special
from scipy.spatial import cKDTree

from med_stylesr.metrics.resolution import edge_width_through_plane, ttf_from_disk, ttf_from_skin


def blurred_disk(sigma_mm, pixel, radius=25.0, size=160, offset=(0.37, -0.21), oversample=8):
    """Disk of +300 HU, its blur applied on an oversampled grid, then sampled as pixels' point values."""
    n = size * oversample
    grid = (np.arange(n) - (n - 1) / 2) * pixel / oversample
    r = np.hypot(grid[:, None] - offset[0], grid[None] - offset[1])
    fine = ndimage.gaussian_filter((r < radius).astype(np.float32), sigma_mm * oversample / pixel)
    return 300 * fine[oversample // 2 :: oversample, oversample // 2 :: oversample].astype(float)


@pytest.mark.parametrize("sigma", [0.4, 0.6, 0.9])
def test_ttf_of_a_gaussian_blur_is_within_three_percent_of_its_formula(sigma):
    pixel = 0.6
    ttf = ttf_from_disk(blurred_disk(sigma, pixel), (pixel, pixel), centre=(79, 81), radius_mm=25)
    truth = np.exp(-2 * (np.pi * sigma * ttf.frequency_per_mm) ** 2)
    assert np.abs(ttf.value - truth)[truth > 0.1].max() < 0.03
    f50 = np.sqrt(np.log(2) / 2) / (np.pi * sigma)
    f10 = np.sqrt(np.log(10) / 2) / (np.pi * sigma)
    assert ttf.frequency_at(0.5) == pytest.approx(f50, rel=0.03)
    if f10 < 1.2 / (2 * pixel):
        assert ttf.frequency_at(0.1) == pytest.approx(f10, rel=0.03)
    assert ttf.contrast_hu == pytest.approx(300, rel=0.01)


def test_ttf_stands_noise_when_slices_are_averaged():
    rng = np.random.default_rng(0)
    disk = blurred_disk(0.6, 0.6)
    noisy = disk + rng.normal(0, 20 / np.sqrt(20), disk.shape)
    ttf = ttf_from_disk(noisy, (0.6, 0.6), centre=(80, 80), radius_mm=25)
    assert ttf.frequency_at(0.5) == pytest.approx(np.sqrt(np.log(2) / 2) / (np.pi * 0.6), rel=0.05)


def test_an_insert_without_contrast_is_refused():
    with pytest.raises(ValueError, match="contrast"):
        ttf_from_disk(np.zeros((80, 80)), (0.6, 0.6), centre=(40, 40), radius_mm=10)


def test_a_level_never_reached_is_not_a_number():
    ttf = ttf_from_disk(blurred_disk(0.25, 0.6), (0.6, 0.6), centre=(80, 80), radius_mm=25)
    assert np.isnan(ttf.frequency_at(0.01))


def body(sigma_mm, noise=0.0, pixel=0.8, slices=4):
    """Elliptic water body in air; distance to the outline gives the blurred edge in closed form."""
    y, x = (np.mgrid[-150:150, -150:150]) * pixel
    t = np.linspace(0, 2 * np.pi, 20000)
    distance, _ = cKDTree(np.stack([75 * np.sin(t), 100 * np.cos(t)], axis=1)).query(np.stack([y, x], axis=-1))
    signed = np.where((x / 100) ** 2 + (y / 75) ** 2 < 1, distance, -distance)
    hu = -1000 + 1000 * 0.5 * special.erfc(-signed / (np.sqrt(2) * sigma_mm))
    return np.repeat(hu[None], slices, axis=0) + np.random.default_rng(1).normal(0, noise, (slices, 300, 300))


@pytest.mark.parametrize("noise", [0.0, 20.0])
@pytest.mark.parametrize("sigma", [0.6, 0.9])
def test_skin_gives_the_sharpness_of_a_body_of_known_blur(sigma, noise):
    ttf = ttf_from_skin(body(sigma, noise), (2.0, 0.8, 0.8), slices=[0, 1, 2, 3])
    assert ttf.frequency_at(0.5) == pytest.approx(np.sqrt(np.log(2) / 2) / (np.pi * sigma), rel=0.05)


def test_skin_needs_a_body():
    with pytest.raises(ValueError, match="skin"):
        ttf_from_skin(np.full((2, 100, 100), -1000.0), (1, 1, 1), slices=[0, 1])


@pytest.mark.parametrize(("fwhm", "step"), [(3.0, 1.0), (5.0, 1.0), (5.0, 2.0)])
def test_edge_width_through_plane_is_that_of_the_slice_profile(fwhm, step):
    z = np.arange(40) * step
    sigma = fwhm / (2 * np.sqrt(2 * np.log(2)))
    profile = -850 + 900 * 0.5 * special.erfc(-(z - 20.3 * step) / (np.sqrt(2) * sigma))
    hu = np.broadcast_to(profile[:, None, None], (40, 30, 30)) + np.random.default_rng(0).normal(0, 5, (40, 30, 30))
    assert edge_width_through_plane(hu, (step, 0.8, 0.8)) == pytest.approx(1.088 * fwhm, rel=0.08)


def test_edge_width_without_edges_is_not_a_number():
    assert np.isnan(edge_width_through_plane(np.zeros((40, 20, 20)), (1, 1, 1)))
