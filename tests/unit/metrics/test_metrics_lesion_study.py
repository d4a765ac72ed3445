"""Inserted lesions show what processing costs."""

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.metrics.detectability import Task
from med_stylesr.metrics.lesion_study import lesion_study

SPACING = (2.0, 0.8, 0.8)
OPTIONS = {"blur_mm": 0.6, "pairs": 240, "region_mm": 20.0}


@pytest.fixture(scope="module")
def water():
    """Sixteen slices of water with white noise of 25 HU."""
    return np.random.default_rng(0).normal(40, 25, (16, 128, 128)).astype(np.float32)


def blend(hu, strength):
    return hu + strength * (ndimage.gaussian_filter(hu, (0, 3, 3)) - hu)


def test_an_invertible_filter_costs_a_known_signal_little(water):
    results = lesion_study(water, SPACING, blend, [0.0, 0.5], Task(6, 8), **OPTIONS)
    assert results[0.0].pairs == 240
    assert 0.7 < results[0.0].auc < 0.999
    assert results[0.5].auc == pytest.approx(results[0.0].auc, abs=0.05)


def test_wiping_out_weak_contrast_is_found(water):
    def thresholding(hu, strength):
        smooth = ndimage.gaussian_filter(hu, (0, 2, 2))
        flat = np.where(np.abs(smooth - 40) < 15, 40, smooth)
        noise = np.random.default_rng(1).normal(0, 5, hu.shape)
        return hu + strength * (flat + noise - hu)

    results = lesion_study(water, SPACING, thresholding, [0.0, 1.0], Task(6, 8), **OPTIONS)
    assert results[1.0].auc_high < results[0.0].auc


def test_a_scan_without_room_is_refused(water):
    with pytest.raises(ValueError, match="60 pairs"):
        lesion_study(water[:1], SPACING, blend, [0.0], Task(6, 8), **OPTIONS)


def test_processing_that_changes_the_grid_is_refused(water):
    with pytest.raises(ValueError, match="grid"):
        lesion_study(water, SPACING, lambda hu, s: hu[::2], [0.0], Task(6, 8), **OPTIONS)
