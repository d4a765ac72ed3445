"""Features on the IBSI digital phantom against the benchmark values of the IBSI reference manual (arXiv:1612.07003)."""

import numpy as np
import pytest

from med_stylesr.metrics.radiomics import features

# Levels of the digital phantom, slice by slice; 0 lies outside the region of interest.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)

BENCHMARK = {
    "intensity_mean": 2.15,
    "intensity_variance": 3.05,
    "intensity_skewness": 1.08,
    "intensity_kurtosis": -0.355,
    "intensity_median": 1,
    "intensity_percentile_90": 4,
    "intensity_interquartile_range": 3,
    "intensity_mean_absolute_deviation": 1.55,
    "intensity_robust_mean_absolute_deviation": 1.11,
    "intensity_energy": 567,
    "intensity_root_mean_square": 2.77,
    # 3D, merged
    "glcm_joint_maximum": 0.509,
    "glcm_joint_average": 2.15,
    "glcm_joint_variance": 3.13,
    "glcm_joint_entropy": 2.57,
    "glcm_difference_average": 1.38,
    "glcm_contrast": 5.12,
    "glcm_inverse_difference": 0.688,
    "glcm_inverse_difference_moment": 0.631,
    "glcm_correlation": 0.183,
    "glcm_angular_second_moment": 0.291,
    "glcm_cluster_shade": 17.4,
    # 3D
    "glszm_small_zone_emphasis": 0.255,
    "glszm_large_zone_emphasis": 550,
    "glszm_low_grey_level_zone_emphasis": 0.253,
    "glszm_high_grey_level_zone_emphasis": 15.6,
    "glszm_small_zone_low_grey_level_emphasis": 0.0256,
    "glszm_grey_level_non_uniformity": 1.4,
    "glszm_zone_size_non_uniformity": 1,
    "glszm_zone_percentage": 0.0676,
    "glszm_grey_level_variance": 2.64,
    "glszm_zone_size_variance": 331,
    "glszm_zone_size_entropy": 2.32,
}


@pytest.fixture(scope="module")
def values():
    return features(PHANTOM, PHANTOM > 0, bin_width_hu=1, lowest_hu=1)


@pytest.mark.parametrize("name", BENCHMARK)
def test_feature_matches_the_ibsi_benchmark(values, name):
    # The manual prints three significant digits.
    assert values[name] == pytest.approx(BENCHMARK[name], rel=0.004)


def test_texture_does_not_depend_on_an_offset_of_whole_bins():
    rng = np.random.default_rng(0)
    hu = rng.integers(0, 200, (6, 12, 12))
    mask = np.ones(hu.shape, dtype=bool)
    a, b = (features(hu + s, mask, bin_width_hu=25, lowest_hu=s) for s in (0, 1000))
    assert all(a[k] == pytest.approx(b[k]) for k in a if not k.startswith("intensity"))


def test_an_empty_region_is_refused():
    with pytest.raises(ValueError, match="empty"):
        features(PHANTOM, PHANTOM > 99, bin_width_hu=1, lowest_hu=1)
