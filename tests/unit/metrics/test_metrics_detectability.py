"""Observers against closed forms."""

import numpy as np
import pytest
from scipy import ndimage, stats

from med_stylesr.metrics.detectability import Task, eye_filter, hotelling_observer, insert_lesions, npw_detectability
from med_stylesr.metrics.regions import Roi
from med_stylesr.metrics.resolution import TransferFunction
from med_stylesr.metrics.texture import RadialProfile

F = np.linspace(0.001, 3, 3000)
SHARP = TransferFunction(np.linspace(0, 3, 10), np.ones(10), 1000)


@pytest.mark.parametrize("shape", ["disk", "gaussian"])
def test_spectrum_and_profile_of_a_task_are_one_fourier_pair(shape):
    task, pixel = Task(6.0, 20.0, shape), 0.1
    x = (np.arange(512) - 256) * pixel
    image = task.profile(np.hypot(x[:, None], x[None]), blur_mm=0.0)
    f = np.fft.fftfreq(512, pixel)[:20]
    numeric = np.abs(np.fft.fft2(image)[0, :20]) * pixel**2
    assert numeric == pytest.approx(np.abs(task.spectrum(f)), abs=0.01 * numeric[0])


def test_in_white_noise_without_eye_filter_d_prime_is_the_matched_filters():
    task = Task(5.0, 10.0)
    nps = RadialProfile(F, np.full(F.shape, 200.0))
    energy = 10.0**2 * np.pi * 2.5**2
    assert npw_detectability(task, SHARP, nps, field_of_view_mm=None) == pytest.approx(np.sqrt(energy / 200), rel=0.01)


def test_d_prime_doubles_when_dose_quadruples_and_is_linear_in_contrast():
    low, high = (RadialProfile(F, F * np.exp(-(F**2)) * p) for p in (400.0, 100.0))
    d = [npw_detectability(Task(5, 10), SHARP, n, field_of_view_mm=360) for n in (low, high)]
    assert d[1] / d[0] == pytest.approx(2)
    assert npw_detectability(Task(5, 30), SHARP, low, field_of_view_mm=360) == pytest.approx(3 * d[0])


def test_blur_lowers_the_detectability_of_small_lesions_more():
    nps = RadialProfile(F, np.full(F.shape, 100.0))
    blur = TransferFunction(F, np.exp(-2 * (np.pi * 1.0 * F) ** 2), 1000)
    small, large = (
        npw_detectability(Task(mm, 10), blur, nps, field_of_view_mm=360)
        / npw_detectability(Task(mm, 10), SHARP, nps, field_of_view_mm=360)
        for mm in (3, 10)
    )
    assert small < large < 1


def test_eye_is_most_sensitive_at_middle_frequencies():
    eye = eye_filter(F, field_of_view_mm=360)
    peak = F[eye.argmax()]
    assert 0.1 < peak < 1
    assert eye[0] < 0.01 * eye.max()


def test_inserted_lesion_sits_in_the_middle_with_its_contrast_and_leaves_the_rest():
    hu = np.zeros((2, 64, 64), dtype=np.int16)
    out = insert_lesions(hu, [Roi(1, 10, 20, 32)], (0.7, 0.7), Task(8, -15), blur_mm=0.5)
    assert out[1, 25:27, 35:37] == pytest.approx(-15, abs=0.1)
    assert ndimage.center_of_mass(out[1]) == pytest.approx((25.5, 35.5))
    assert not out[0].any()
    assert not hu.any()


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    n, size, pixel = 400, 32, 0.7
    lesion = insert_lesions(np.zeros((1, size, size)), [Roi(0, 0, 0, size)], (pixel, pixel), Task(6, 6), blur_mm=0.6)[0]
    noise = rng.normal(0, 20, (2, n, size, size))
    return lesion, noise[0] + lesion, noise[1]


def test_hotelling_observer_comes_near_the_ideal_one_in_white_noise(pairs):
    lesion, present, absent = pairs
    ideal = np.sqrt((lesion**2).sum()) / 20
    result = hotelling_observer(present, absent, 0.7)
    assert 0.8 * ideal < result.d_prime < 1.15 * ideal
    assert result.auc == pytest.approx(stats.norm.cdf(result.d_prime / np.sqrt(2)), abs=0.03)
    assert result.auc_low < result.auc < result.auc_high
    assert result.pairs == 400


def test_hotelling_observer_guesses_when_nothing_is_there(pairs):
    _, _, absent = pairs
    result = hotelling_observer(np.random.default_rng(9).normal(0, 20, absent.shape), absent, 0.7)
    assert result.auc_low < 0.5 < result.auc_high


def test_too_few_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match="60 pairs"):
        hotelling_observer(pairs[1][:20], pairs[2][:20], 0.7)
