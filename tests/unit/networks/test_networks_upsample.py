"""Sub-pixel order is exact per axis; cubic upsampling keeps positions, constants, and reproduces quadratics."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from med_stylesr.networks.upsample import CubicUpsample, channels_to_space, nearest_upsample, space_to_channels


def test_equal_factors_in_2d_are_torchs_pixel_shuffle() -> None:
    x = torch.randn(2, 18, 5, 4)
    assert torch.equal(channels_to_space(x, [3, 3]), functional.pixel_shuffle(x, 3))
    y = torch.randn(2, 3, 6, 8)
    assert torch.equal(space_to_channels(y, [2, 2]), functional.pixel_unshuffle(y, 2))


@pytest.mark.parametrize("factors", [[1, 2], [3, 1], [2, 1, 1], [5, 1, 1], [2, 3, 4]])
def test_space_to_channels_and_back_is_exact_for_any_factors(factors: list[int]) -> None:
    x = torch.randn(2, 3, *[f * n for f, n in zip(factors, (2, 3, 4), strict=False)])
    assert torch.equal(channels_to_space(space_to_channels(x, factors), factors), x)


def test_channel_r_lands_at_offset_r_of_its_axis() -> None:
    x = torch.arange(5.0).reshape(1, 5, 1, 1, 1)
    assert channels_to_space(x, [5, 1, 1]).flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("scale", [(2, 2), (3, 1), (4, 4), (5, 1, 1), (2, 2, 2)])
def test_cubic_reproduces_quadratics_at_the_new_positions(scale: tuple[int, ...]) -> None:
    size = 12
    grids = torch.meshgrid(*[torch.arange(size, dtype=torch.float32)] * len(scale), indexing="ij")
    fine = torch.meshgrid(
        *[(torch.arange(size * s, dtype=torch.float32) + 0.5) / s - 0.5 for s in scale], indexing="ij"
    )

    def quadratic(axes: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return sum((0.3 * a * a - (i + 1) * a for i, a in enumerate(axes)), torch.zeros(()))

    out = CubicUpsample(scale)(quadratic(grids)[None, None])[0, 0]
    inner = tuple(slice(3 * s, -3 * s) for s in scale)
    torch.testing.assert_close(out[inner], quadratic(fine)[inner], atol=1e-3, rtol=1e-5)


def test_factor_one_is_the_identity_bit_for_bit() -> None:
    x = torch.randn(1, 1, 7, 9) * 1000
    assert torch.equal(CubicUpsample((1, 1))(x), x)


def test_nearest_upsample_repeats_voxels() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert nearest_upsample(x, [2, 3]).tolist() == [[[[1, 1, 1, 2, 2, 2]] * 2]]
