"""Noise measured on synthetic noise whose standard deviation and spectrum are known."""

import numpy as np
import pytest

from med_stylesr.metrics import texture
from med_stylesr.metrics.regions import flat_rois, tissue_masks

SPACING = (2.5, 0.7, 0.7)


def coloured(shape, pixel_mm, amplitude, rng):
    """Periodic noise whose true spectrum is amplitude(f)² · pixel area, f in 1/mm, over the last two axes."""
    fy, fx = (np.fft.fftfreq(n, pixel_mm) for n in shape[-2:])
    gain = amplitude(np.hypot(fy[:, None], fx[None]))
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * gain).real


def fbp_like(f):
    """Ramp times a soft kernel's roll-off."""
    return 60 * np.sqrt(f) * np.exp(-((f / 0.45) ** 2))


@pytest.fixture(scope="module")
def torso():
    """Elliptic water torso with two lungs, a spine and fat around; noise-free HU (8, 256, 256)."""
    y, x = np.mgrid[-128:128, -128:128] * 1.4
    hu = np.full((256, 256), -1000.0)
    hu[(x / 165) ** 2 + (y / 120) ** 2 < 1] = -100
    hu[(x / 150) ** 2 + (y / 105) ** 2 < 1] = 45
    for side in (-1, 1):
        hu[((x - side * 75) / 45) ** 2 + ((y + 20) / 60) ** 2 < 1] = -830
    hu[x**2 + (y - 70) ** 2 < 22**2] = 500
    return np.repeat(hu[None], 8, axis=0)


def test_nps_of_white_noise_is_flat_with_the_right_height_and_integral():
    rng = np.random.default_rng(1)
    rois = list(rng.normal(0, 20, (200, 32, 32)))
    nps = texture.noise_power_spectrum(rois, (0.7, 0.7), detrend_order=2)
    assert nps.noise_sd_hu == pytest.approx(20, rel=0.01)
    high = nps.power[nps.radial_frequency() > 0.2]
    assert high.mean() == pytest.approx(400 * 0.49, rel=0.01)


def test_nps_of_coloured_noise_recovers_its_known_spectrum_within_five_percent():
    rng = np.random.default_rng(2)
    noise = coloured((40, 256, 256), 0.7, fbp_like, rng)
    rois = [n[r : r + 64, c : c + 64] for n in noise for r in range(0, 256, 64) for c in range(0, 256, 64)]
    profile = texture.radial_profile(texture.noise_power_spectrum(rois, (0.7, 0.7), detrend_order=2))
    truth = fbp_like(profile.frequency_per_mm) ** 2 * 0.49
    used = (profile.frequency_per_mm > 0.08) & (truth > 0.2 * truth.max())
    assert used.sum() > 15
    assert np.abs(profile.power[used] / truth[used] - 1).max() < 0.05
    f = np.linspace(0, 0.714, 5000)
    assert profile.mean_per_mm == pytest.approx((f * fbp_like(f) ** 2).sum() / (fbp_like(f) ** 2).sum(), rel=0.03)
    # d/df of f·exp(−2 (f/f0)²) vanishes at f0/2.
    assert profile.peak_per_mm == pytest.approx(0.225, abs=0.03)


def test_nps_does_not_see_a_smooth_trend():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    noise = rng.normal(0, 10, (50, 32, 32))
    plain = texture.noise_power_spectrum(list(noise), (1, 1))
    bent = texture.noise_power_spectrum(list(noise + 80 * x - 50 * x * y + 30 * y**2), (1, 1))
    np.testing.assert_allclose(bent.power, plain.power, rtol=1e-6, atol=1e-6)


def test_nps_in_three_dimensions_integrates_to_the_variance():
    rng = np.random.default_rng(4)
    nps = texture.noise_power_spectrum(list(rng.normal(0, 15, (30, 16, 16, 16))), (1.0, 0.7, 0.7), detrend_order=1)
    assert nps.noise_sd_hu == pytest.approx(15, rel=0.01)
    assert nps.power.mean() == pytest.approx(225 * 0.49, rel=0.02)


def test_band_ratio_is_the_square_of_a_gain_in_every_band():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 20, (50, 64, 64))
    low = texture.noise_power_spectrum(list(noise), (0.6, 0.6))
    half = texture.noise_power_spectrum(list(noise * 0.5), (0.6, 0.6))
    assert set(texture.band_power_ratio(half, low)) == set(texture.BANDS_PER_MM)
    assert list(texture.band_power_ratio(half, low).values()) == pytest.approx([0.25] * 4)


def test_a_band_beyond_the_pixel_grid_is_not_a_number_rather_than_zero():
    nps = texture.noise_power_spectrum([np.random.default_rng(0).normal(size=(32, 32))], (1.5, 1.5))
    assert np.isnan(texture.band_power_ratio(nps, nps)["high"])


@pytest.mark.parametrize("sd", [8.0, 25.0, 60.0])
def test_noise_sd_in_a_torso_finds_the_noise_that_was_put_in(torso, sd):
    noise = coloured(torso.shape, 0.7, fbp_like, np.random.default_rng(6))
    noisy = (torso + sd * noise / noise.std()).astype(np.float32)
    assert texture.noise_sd(noisy, (2.5, 1.4, 1.4)) == pytest.approx(sd, rel=0.05)


def test_noise_sd_of_a_noise_free_phantom_is_zero(torso):
    assert texture.noise_sd(torso, (2.5, 1.4, 1.4)) < 0.5


def test_noise_sd_refuses_a_scan_without_soft_tissue():
    with pytest.raises(ValueError, match="soft tissue"):
        texture.noise_sd(np.full((2, 64, 64), -1000.0), SPACING)


def test_flat_rois_lie_in_homogeneous_tissue_and_do_not_choose_low_noise(torso):
    rng = np.random.default_rng(7)
    noisy = torso + rng.normal(0, 30, torso.shape)
    rois = flat_rois(noisy, (2.5, 1.4, 1.4), size_mm=22, count=30)
    assert len(rois) == 30
    assert all(np.ptp(roi.cut(torso)) == 0 for roi in rois)
    assert np.mean([roi.cut(noisy).std() for roi in rois]) == pytest.approx(30, rel=0.03)


def test_flat_rois_do_not_overlap(torso):
    rois = flat_rois(torso, (2.5, 1.4, 1.4), size_mm=22, count=50)
    used = np.zeros(torso.shape, dtype=int)
    for roi in rois:
        used[roi.slice, roi.row : roi.row + roi.size, roi.column : roi.column + roi.size] += 1
    assert used.max() == 1


def test_tissue_masks_stay_clear_of_borders_even_in_noise(torso):
    noisy = torso + np.random.default_rng(8).normal(0, 40, torso.shape)
    truth = {"air": -1000, "lung": -830, "fat": -100, "soft tissue": 45, "bone": 500}
    masks = tissue_masks(noisy, (2.5, 1.4, 1.4))
    for name, hu in truth.items():
        assert masks[name].sum() > 500, name
        assert np.mean(torso[masks[name]] == hu) > 0.995, name
    assert masks["contrast"].sum() == 0
