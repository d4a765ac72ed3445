"""Resolution operators against integrals done by hand, and their adjoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from med_stylesr.degrade.resolution import AxisSampling, ResolutionOperator, motion_blur, reduce_resolution
from med_stylesr.geometry import VoxelGrid

THICK = ResolutionOperator.thick_slices(1.0, 5.0, 2.5)
COARSE = ResolutionOperator.coarse_pixels(0.7, 1.4, 1.2)
BOTH = ResolutionOperator((THICK.axes[0], COARSE.axes[1], COARSE.axes[2]))


def test_thin_slices_average_to_the_analytic_thick_slice() -> None:
    """A slanted edge z < c: the thick slice holds the share of its thickness below c."""
    edge_mm, thin = 13.2, 0.25
    outer = torch.arange(121, dtype=torch.float64) * thin
    share = ((edge_mm - outer[:-1]) / thin).clamp(0, 1)
    operator = ResolutionOperator.thick_slices(thin, 5.0, 2.0)
    thick = operator(share[:, None, None].expand(-1, 2, 2))
    lower = torch.arange(len(thick), dtype=torch.float64) * 2.0
    torch.testing.assert_close(thick[:, 0, 0], ((edge_mm - lower) / 5.0).clamp(0, 1), atol=1e-9, rtol=0)


def test_slices_of_whole_groups_are_their_plain_mean() -> None:
    volume = torch.randn(12, 3, 3, generator=torch.Generator().manual_seed(0))
    thick = ResolutionOperator.thick_slices(1.25, 5.0, 5.0)(volume)
    torch.testing.assert_close(thick, volume.reshape(3, 4, 3, 3).mean(1))


def test_a_smooth_profile_has_the_width_asked_for() -> None:
    impulse = torch.zeros(401, 1, 1, dtype=torch.float64)
    impulse[200] = 1
    profile = ResolutionOperator.thick_slices(0.1, 5.0, 0.1, "smooth")(impulse)[:, 0, 0]
    wide = (profile > profile.max() / 2).sum() * 0.1
    assert abs(float(wide) - 5.0) <= 0.1 + 1e-9


def test_point_spread_has_the_width_asked_for() -> None:
    sampling = AxisSampling(0.5, 1.0, 2.0, "smooth", inside=False)
    weights = sampling.matrix(64, torch.zeros(0, dtype=torch.float64))[16]
    position = torch.arange(64) * 0.5
    mean = (weights * position).sum()
    sd = (weights * (position - mean) ** 2).sum().sqrt()
    expected = math.sqrt((2.0 / 2.3548) ** 2 + 0.5**2 / 12)
    assert math.isclose(sd, expected, rel_tol=0.01)


@pytest.mark.parametrize("operator", [THICK, COARSE, BOTH], ids=["thick", "coarse", "both"])
def test_adjoint_satisfies_the_dot_product_identity(operator: ResolutionOperator) -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 20, 31, 40, generator=random, dtype=torch.float64)
    y = operator(x)
    z = torch.randn(y.shape, generator=random, dtype=torch.float64)
    forward, backward = (y * z).sum(), (x * operator.adjoint(z, x.shape[-3:])).sum()
    assert abs(forward - backward) < 1e-5 * abs(forward)


@pytest.mark.parametrize("operator", [THICK, COARSE, BOTH], ids=["thick", "coarse", "both"])
def test_constants_stay_what_they_are(operator: ResolutionOperator) -> None:
    same = operator(torch.full((20, 31, 40), 57.0))
    torch.testing.assert_close(same, torch.full_like(same, 57.0))


@pytest.mark.parametrize("operator", [THICK, COARSE, BOTH], ids=["thick", "coarse", "both"])
def test_output_voxels_lie_where_the_grid_says(operator: ResolutionOperator) -> None:
    """Apply the operator to the coordinates themselves: away from the borders it must give the output's coordinates."""
    affine = np.array([[0.7, 0, 0, -11], [0, 0.7, 0, 5], [0, 0, 1.0, 100], [0, 0, 0, 1]])
    grid = VoxelGrid((20, 36, 40), affine)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")[::-1], axis=-1)
    place = torch.from_numpy(grid.positions(index)).permute(3, 0, 1, 2)
    moved = operator(place).permute(1, 2, 3, 0)
    result = operator.grid(grid)
    assert tuple(moved.shape[:3]) == result.shape
    index = np.stack(np.meshgrid(*(np.arange(n) for n in result.shape), indexing="ij")[::-1], axis=-1)
    expected = torch.from_numpy(result.positions(index))
    torch.testing.assert_close(moved[:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3], atol=1e-6, rtol=0)


def test_whole_factors_undo_the_grid_of_super_resolution() -> None:
    grid = VoxelGrid((8, 16, 16), np.diag([0.8, 0.8, 2.0, 1.0]))
    fine = grid.super_resolved((2, 2, 2))
    operator = ResolutionOperator(
        (
            AxisSampling(1.0, 2.0, 2.0, "rectangular", inside=True),
            *(AxisSampling(0.4, 0.8, 0.8, "smooth", inside=False),) * 2,
        )
    )
    again = operator.grid(fine)
    assert again.shape == grid.shape
    np.testing.assert_allclose(again.affine, grid.affine, atol=1e-9)


def test_padding_does_not_bleed_into_anatomy() -> None:
    hu = torch.full((10, 20, 20), 40.0)
    hu[:, :, 10:] = -3024.0
    low = reduce_resolution(hu, ResolutionOperator.coarse_pixels(1.0, 2.0, 2.0))
    assert low[..., -1].unique().tolist() == [-3024.0]
    anatomy = low[low > -2000]
    assert anatomy.min() >= -1024
    assert anatomy.max() <= 40.0001


def test_profiles_thinner_than_the_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        ResolutionOperator.thick_slices(2.5, 1.0, 1.0)


def test_a_stack_thinner_than_one_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="do not hold one"):
        THICK(torch.zeros(3, 4, 4))


def test_motion_blur_keeps_the_mean_and_smears_along_its_direction_only() -> None:
    point = torch.zeros(1, 33, 33)
    point[0, 16, 16] = 1
    smeared = motion_blur(point, 9.0, 0.0)[0]
    assert math.isclose(smeared.sum(), 1, rel_tol=1e-5)
    assert (smeared.sum(0) > 0.01).sum() == 9
    assert (smeared.sum(1) > 0.01).sum() == 1
    assert torch.equal(motion_blur(point, 1.0, 0.3), point)
