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


def test_an_invertible_filter_costs_a_known_signal_little(water):
    task = Task(6, 8)
    half = {"input": lambda hu: hu, "half": lambda hu: hu + 0.5 * (ndimage.gaussian_filter(hu, (0, 3, 3)) - hu)}
    results = lesion_study(water, SPACING, half, [task], **OPTIONS)[task]
    assert results["input"].pairs == 240
    assert 0.7 < results["input"].auc < 0.999
    assert results["half"].auc == pytest.approx(results["input"].auc, abs=0.05)


def test_wiping_out_weak_contrast_is_found_and_stronger_lesions_are_seen_better(water):
    def thresholding(hu):
        smooth = ndimage.gaussian_filter(hu, (0, 2, 2))
        flat = np.where(np.abs(smooth - 40) < 15, 40, smooth)
        return flat + np.random.default_rng(1).normal(0, 5, hu.shape)

    weak, strong = Task(6, 8), Task(6, 16)
    processes = {"input": lambda hu: hu, "threshold": thresholding}
    results = lesion_study(water, SPACING, processes, [weak, strong], **OPTIONS)
    assert results[weak]["threshold"].auc_high < results[weak]["input"].auc
    assert results[strong]["input"].auc > results[weak]["input"].auc


def test_a_scan_without_room_is_refused(water):
    with pytest.raises(ValueError, match="60 pairs"):
        lesion_study(water[:1], SPACING, {"input": lambda hu: hu}, [Task(6, 8)], **OPTIONS)


def test_processing_that_changes_the_grid_is_refused(water):
    with pytest.raises(ValueError, match="grid"):
        lesion_study(water, SPACING, {"half": lambda hu: hu[::2]}, [Task(6, 8)], **OPTIONS)
