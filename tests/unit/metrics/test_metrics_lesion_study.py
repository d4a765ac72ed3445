"""Inserted lesions show what processing costs."""

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.metrics.detectability import Task
from med_stylesr.metrics.lesion_study import lesion_study
from med_stylesr.metrics.regions import flat_rois

SPACING = (2.0, 0.8, 0.8)


@pytest.fixture(scope="module")
def water():
    """Sixteen slices of water with white noise of 25 HU."""
    return np.random.default_rng(0).normal(40, 25, (16, 128, 128)).astype(np.float32)


@pytest.fixture(scope="module")
def rois(water):
    return flat_rois(water, SPACING, size_mm=20.0, count=240)


def test_an_invertible_filter_costs_a_known_signal_little_and_scales_its_contrast(water, rois):
    task = Task(6, 8)
    ways = {"input": lambda hu: hu, "half": lambda hu: hu + 0.5 * (ndimage.gaussian_filter(hu, (0, 3, 3)) - hu)}
    results = lesion_study(water, SPACING, ways, [task], rois, blur_mm=0.6)[task]
    assert results["input"].observer.pairs == 240
    assert 0.7 < results["input"].observer.auc < 0.999
    assert results["half"].observer.auc == pytest.approx(results["input"].observer.auc, abs=0.05)
    assert results["input"].contrast_kept == pytest.approx(1)
    assert 0.5 < results["half"].contrast_kept < 0.9


def test_contrast_kept_is_the_factor_that_a_linear_process_multiplies_by(water, rois):
    task = Task(6, -12)
    results = lesion_study(water, SPACING, {"quarter": lambda hu: 0.25 * hu}, [task], rois, blur_mm=0.6)[task]
    assert results["quarter"].contrast_kept == pytest.approx(0.25, abs=1e-4)
    # The noise is the same with and without the lesion, so what is left shows no noise at all.
    assert results["quarter"].left_hu.min() == pytest.approx(-3, abs=0.05)
    assert abs(results["quarter"].left_hu[0]).max() < 1e-3


def test_wiping_out_weak_contrast_is_found_and_stronger_lesions_are_seen_better(water, rois):
    def thresholding(hu):
        smooth = ndimage.gaussian_filter(hu, (0, 2, 2))
        flat = np.where(np.abs(smooth - 40) < 15, 40, smooth)
        return flat + np.random.default_rng(1).normal(0, 5, hu.shape)

    weak, strong = Task(6, 8), Task(6, 16)
    processes = {"input": lambda hu: hu, "threshold": thresholding}
    results = lesion_study(water, SPACING, processes, [weak, strong], rois, blur_mm=0.6)
    assert results[weak]["threshold"].observer.auc_high < results[weak]["input"].observer.auc
    assert results[weak]["threshold"].contrast_kept < 0.5
    assert results[strong]["input"].observer.auc > results[weak]["input"].observer.auc


def test_what_is_processed_next_is_told_in_order(water, rois):
    told = []
    tasks = [Task(6, 8), Task(4, 8)]
    lesion_study(water, SPACING, {"input": lambda hu: hu}, tasks, rois, blur_mm=0.6, begin=told.append)
    assert told == [None, *tasks]


def test_too_few_regions_are_refused(water, rois):
    with pytest.raises(ValueError, match="60 pairs"):
        lesion_study(water, SPACING, {"input": lambda hu: hu}, [Task(6, 8)], rois[:59], blur_mm=0.6)


def test_processing_that_changes_the_grid_is_refused(water, rois):
    with pytest.raises(ValueError, match="grid"):
        lesion_study(water, SPACING, {"half": lambda hu: hu[::2]}, [Task(6, 8)], rois, blur_mm=0.6)
