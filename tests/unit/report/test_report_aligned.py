"""Two scans meet at the same millimetres, whatever their grids."""

import numpy as np
import pytest

from med_stylesr.geometry import VoxelGrid
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.volume import CTVolume

AFFINE = np.array([[0.7, 0, 0, -100], [0, 0.7, 0, -80], [0, 0, 2.5, 40], [0, 0, 0, 1.0]])


def sampled(grid):
    """A smooth function of position in mm, sampled on a grid: equal positions must give equal values."""
    k, j, i = np.indices(grid.shape)
    x, y, z = np.moveaxis(grid.positions(np.stack([i, j, k], axis=-1)), -1, 0)
    return CTVolume((2 * x - 3 * y + 5 * z).astype(np.float32), grid.affine)


@pytest.fixture
def first():
    return sampled(VoxelGrid((6, 20, 24), AFFINE))


def test_equal_grids_are_passed_through_untouched(first):
    pair = AlignedPair(first, first)
    assert pair.factor == 1
    assert np.array_equal(pair.common(2), first.hu[2])


@pytest.mark.parametrize("scale", [(1, 2, 2), (3, 1, 1), (1, 4, 4), (3, 2, 2)])
def test_super_resolved_scan_meets_the_original_at_the_same_millimetres(first, scale):
    pair = AlignedPair(first, sampled(first.grid.super_resolved(scale)))
    assert pair.factor == scale[1]
    assert pair.fine(3).shape == (20 * scale[1], 24 * scale[2])
    np.testing.assert_allclose(pair.common(3), first.hu[3], atol=1e-2)


def test_reversed_and_cropped_stack_is_matched_by_position(first):
    flipped = CTVolume(first.hu[::-1][:3].copy(), first.affine @ _flip(6))
    pair = AlignedPair(first, flipped)
    np.testing.assert_allclose(pair.common(4), first.hu[4])
    assert np.isnan(pair.common(1)).all()


def _flip(slices):
    step = np.diag([1.0, 1, -1, 1])
    step[2, 3] = slices - 1
    return step


def test_a_tilted_scan_is_sampled_between_slices(first):
    tilted = AFFINE.copy()
    tilted[1, 2] = 0.4
    other = sampled(VoxelGrid((12, 30, 24), tilted))
    common = AlignedPair(first, other).common(3)
    inside = np.isfinite(common)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(common[inside], first.hu[3][inside], atol=1e-2)


def test_unevenly_spaced_series_meet_slice_by_slice(first):
    origins = first.grid.positions([(0, 0, k) for k in (0, 1, 2.2, 3, 4, 5)])
    uneven = CTVolume(first.hu, first.affine, slice_origins_mm=origins)
    other = CTVolume(first.hu + 1, first.affine, slice_origins_mm=origins)
    assert np.array_equal(AlignedPair(uneven, other).common(2), first.hu[2] + 1)
