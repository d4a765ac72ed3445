"""Bands cover a slice once, start on the lock's grid, and leave no seam."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.tiling import ALIGNMENT, HALO, LEAST_SLAB, VOXELS_PER_SLAB, bands, slab_slices
from med_stylesr.networks.generator import StyleSRGenerator


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1000, 4_000_000))
def test_bands_cover_every_row_once_and_read_what_they_keep(rows: int, columns: int, pixels: int) -> None:
    cut = bands(rows, columns, pixels)
    assert [row for band in cut for row in range(band.start, band.stop)] == list(range(rows))
    for band in cut:
        assert 0 <= band.read_start <= band.start < band.stop <= band.read_stop <= rows
        assert band.start % ALIGNMENT == 0
        assert band.read_start == 0 or band.start - band.read_start == HALO


@pytest.mark.parametrize("scale", [(1, 1), (2, 2)])
def test_a_slice_in_bands_equals_the_slice_as_a_whole(scale: tuple[int, int]) -> None:
    """The full depth of the shipped network (fewer channels), with corrections as strong as heavy noise."""
    torch.manual_seed(0)
    net = StyleSRGenerator(2, 1, (8, 8, 8), (2, 2, 3), (1, 1), 4, extra_scales=[(2, 2)]).eval()
    for tail in net.tails:
        assert isinstance(tail, nn.Conv2d)
        nn.init.normal_(tail.weight, std=0.1)
    image = torch.full((1, 1, 832, 96), 40.0)
    image[..., 300:500, :] = -850
    image += 30 * torch.randn_like(image)
    code = net.style_code("smooth")
    whole = TorchRuntime(net).run(image, code, scale)
    tiled = TorchRuntime(net, pixels_per_band=100).run(image, code, scale)
    assert whole[1].std() > 20
    for a, b in zip(whole, tiled, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() < 0.5


@given(st.integers(16, 4096), st.integers(16, 4096), st.integers(0, 12))
def test_slabs_with_their_halo_stay_within_memory_and_are_never_too_thin(rows: int, columns: int, halo: int) -> None:
    kept = slab_slices(rows, columns, halo)
    assert kept >= LEAST_SLAB
    assert kept == LEAST_SLAB or (kept + 2 * halo) * rows * columns <= VOXELS_PER_SLAB
    # One slice more would be too many: the halo is paid for as rarely as can be.
    assert (kept + 1 + 2 * halo) * rows * columns > VOXELS_PER_SLAB
