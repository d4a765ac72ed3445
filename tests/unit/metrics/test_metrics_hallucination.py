"""Structure taken away or invented is told from noise taken away."""

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.metrics import hallucination as h

SPACING = (2.0, 0.8, 0.8)


@pytest.fixture(scope="module")
def scan():
    """Vessel-like anatomy shared by six slices, and independent noise in each."""
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.standard_normal((160, 160)), 2) * 8
    clean = np.repeat(np.where(blobs > 0.9, 150.0, 0.0)[None], 6, axis=0)
    clean = ndimage.gaussian_filter(clean, (0, 0.8, 0.8))
    white = rng.standard_normal(clean.shape)
    noise = ndimage.gaussian_filter(white, (0, 0.6, 0.6)) - ndimage.gaussian_filter(white, (0, 2, 2))
    return clean, noise * 30 / noise.std(), np.ones(clean.shape, dtype=bool)


def test_removing_noise_alone_scores_near_zero(scan):
    clean, noise, body = scan
    assert h.residual_structure_index(clean + noise, clean, SPACING, body) < 0.02


def test_keeping_a_share_of_the_noise_is_not_mistaken_for_structure(scan):
    clean, noise, body = scan
    assert h.residual_structure_index(clean + noise, clean + 0.5 * noise, SPACING, body) < 0.02


def test_blurring_scores_higher_the_more_it_blurs(scan):
    clean, noise, body = scan
    low = clean + noise
    scores = [
        h.residual_structure_index(low, ndimage.gaussian_filter(low, (0, s, s)), SPACING, body) for s in (0.7, 1.2, 2.5)
    ]
    assert scores[0] > 0.02
    assert scores == sorted(scores)


def test_blur_of_a_noise_free_scan_is_all_structure(scan):
    clean, _, body = scan
    assert h.residual_structure_index(clean, ndimage.gaussian_filter(clean, (0, 0.9, 0.9)), SPACING, body) > 0.9


def test_an_unchanged_scan_scores_zero_and_a_single_slice_nothing(scan):
    clean, _, body = scan
    assert h.residual_structure_index(clean, clean, SPACING, body) == 0
    assert np.isnan(h.residual_structure_index(clean[:1], clean[:1], SPACING, body[:1]))


def test_structure_loss_is_measured_in_blurs_and_hardly_depends_on_the_noise(scan):
    clean, noise, body = scan
    for low in (clean + 0.3 * noise, clean + noise):
        one, half = (low + s * (ndimage.gaussian_filter(low, (0, 1, 1)) - low) for s in (1, 0.5))
        assert h.structure_loss(low, one, SPACING, body) == pytest.approx(1, rel=0.02)
        assert h.structure_loss(low, half, SPACING, body) == pytest.approx(0.25, rel=0.02)
    quiet, loud = (
        h.structure_loss(clean + s * noise, ndimage.median_filter(clean, (1, 3, 3)) + s * noise, SPACING, body)
        for s in (0.2, 1)
    )
    assert quiet == pytest.approx(loud, rel=0.2)


def test_structure_loss_of_removed_noise_is_none(scan):
    clean, noise, body = scan
    assert h.structure_loss(clean + noise, clean + 0.5 * noise, SPACING, body) < 0.02
    assert h.structure_loss(clean + noise, clean + noise, SPACING, body) == 0


def test_structure_loss_is_not_guessed_when_slices_share_nothing():
    low = np.random.default_rng(4).normal(0, 30, (6, 60, 60))
    body = np.ones(low.shape, dtype=bool)
    assert np.isnan(h.structure_loss(low, 0.5 * low, SPACING, body))


def test_oddity_map_points_at_an_invented_nodule(scan):
    clean, noise, body = scan
    after = clean + 0.3 * noise
    y, x = np.mgrid[:160, :160]
    after[3] += 60 * np.exp(-((y - 40) ** 2 + (x - 100) ** 2) / (2 * 3**2))
    z = h.oddity_map(clean + noise, after, SPACING, body)
    assert np.unravel_index(np.abs(z).argmax(), z.shape)[0] == 3
    assert z[3, 40, 100] > 6
    quiet = np.abs(np.delete(z, 3, axis=0))[:, 12:-12, 12:-12]
    assert (quiet > 4).mean() < 1e-3


def test_removing_noise_that_is_stronger_in_places_is_nothing_odd(scan):
    clean, noise, body = scan
    uneven = noise * np.linspace(0.5, 4, noise.shape[2])
    z = h.oddity_map(clean + uneven, clean + 0.5 * uneven, SPACING, body)
    # Away from the border of the array, where smoothing repeats single voxels.
    assert (np.abs(z)[:, 12:-12, 12:-12] > 5).mean() < 1e-4


def test_ring_correlation_of_equal_images_is_one_and_of_noise_zero():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 128, 128))
    assert h.ring_correlation(a, a, (1, 1))[1] == pytest.approx(1)
    assert np.abs(h.ring_correlation(a, b, (1, 1))[1][8:]).mean() < 0.1


def test_ring_correlation_with_known_noise_follows_the_signal_to_noise_ratio():
    rng = np.random.default_rng(2)
    signal, n1, n2 = rng.standard_normal((3, 256, 256))
    # FRC = S / (S + N) for independent noise in both; S = N gives one half.
    assert h.ring_correlation(signal + n1, signal + n2, (1, 1))[1][20:].mean() == pytest.approx(0.5, abs=0.02)


def test_scanning_boxes_flag_the_place_that_was_invented(scan):
    clean, _, _ = scan
    reference = clean[0] + np.random.default_rng(3).normal(0, 1, clean[0].shape)
    pred = reference.copy()
    pred[64:128, 0:64] = np.roll(reference[64:128, 0:64], 23, axis=1)[::-1]
    boxes = h.scanning_ring_correlation(pred, reference, (0.8, 0.8), box=64, threshold=0.5, below_per_mm=0.3)
    flagged = {(b.row, b.column) for b in boxes if b.flagged}
    assert (64, 0) in flagged
    assert (0, 64) not in flagged
    assert all(b.cutoff_per_mm > 0.55 for b in boxes if b.row == 0)


def test_data_consistency_accepts_faithful_and_finds_invented_detail(scan):
    clean, noise, body = scan
    thick = (clean[::2] + clean[1::2]) / 2

    def degrade(hu):
        return (hu[::2] + hu[1::2]) / 2

    spacing = (4.0, 0.8, 0.8)
    _, faithful = h.data_consistency(clean, thick, degrade, spacing, body[::2])
    invented = clean.copy()
    invented[2:4, 50:60, 50:60] += 80
    z, wrong = h.data_consistency(invented, thick + noise[::2] * 0.2, degrade, spacing, body[::2])
    assert faithful < 0.01 < wrong
    assert z[1, 55, 55] > 10
    with pytest.raises(ValueError, match="shape"):
        h.data_consistency(clean, thick, lambda hu: hu, spacing, body[::2])
