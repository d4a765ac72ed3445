"""Streams of slices: any reading order and slab size gives the same, a single slice works, decoding happens once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import ArraySlices, DecodedSlices, InPlane, ThroughPlane
from med_stylesr.networks.generator import StyleSRGenerator


def runtime(spatial_dims: int) -> TorchRuntime:
    torch.manual_seed(0)
    scale = (2, 2) if spatial_dims == 2 else (3, 1, 1)
    net = StyleSRGenerator(spatial_dims, 3 if spatial_dims == 2 else 1, (8, 8), (1, 1), scale, 4).eval()
    for tail in net.tails:
        assert isinstance(tail, (nn.Conv2d, nn.Conv3d))
        nn.init.normal_(tail.weight, std=0.1)
    return TorchRuntime(net)


def scan(slices: int) -> np.ndarray:
    return np.random.default_rng(0).normal(40, 30, (slices, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("slices", [1, 2, 9])
def test_in_plane_works_on_any_number_of_slices_in_any_portions(slices: int) -> None:
    run = runtime(2)
    stage = InPlane(ArraySlices(scan(slices)), run, run.style_code("smooth"), 1.0, (2, 2))
    assert stage.shape == (slices, 64, 64)
    whole = stage.read(0, slices)
    for k in reversed(range(slices)):
        np.testing.assert_allclose(stage.read(k, k + 1)[0], whole[k], atol=1e-3)


def test_a_single_slice_sees_itself_as_its_neighbours() -> None:
    run = runtime(2)
    code, one = run.style_code("smooth"), scan(1)
    alone = InPlane(ArraySlices(one), run, code, 1.0, (2, 2)).read(0, 1)
    among_copies = InPlane(ArraySlices(np.repeat(one, 3, axis=0)), run, code, 1.0, (2, 2)).read(1, 2)
    np.testing.assert_allclose(alone, among_copies, atol=1e-3)


@pytest.mark.parametrize("slab", [1, 4, 20])
def test_through_plane_in_slabs_equals_the_whole_volume(slab: int) -> None:
    run, hu = runtime(3), scan(11)
    code = run.style_code("smooth")
    whole = ThroughPlane(ArraySlices(hu), ArraySlices(hu), run, code, 1.0, 3, slab=11).read(0, 33)
    stage = ThroughPlane(ArraySlices(hu), ArraySlices(hu), run, code, 1.0, 3, slab)
    streamed = np.concatenate([stage.read(k, min(k + 5, 33)) for k in range(0, 33, 5)])
    assert stage.shape == (33, 32, 32)
    np.testing.assert_allclose(streamed, whole, atol=2e-3)


def test_stages_chain_and_strength_zero_is_the_interpolated_input() -> None:
    deep, flat, hu = runtime(3), runtime(2), scan(4)
    through = ThroughPlane(ArraySlices(hu), ArraySlices(hu), deep, deep.style_code("smooth"), 0.0, 3, slab=2)
    both = InPlane(through, flat, flat.style_code("smooth"), 0.0, (2, 2))
    out = both.read(0, 12)
    assert out.shape == (12, 64, 64)
    back = out.reshape(4, 3, 32, 2, 32, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(back.ravel(), hu.ravel())[0, 1] > 0.95


def test_thin_slices_average_to_the_thick_ones_they_stand_for() -> None:
    """A plate of bone one slice thick: interpolation alone spreads it into its neighbours."""
    run, hu = runtime(3), scan(7)
    hu[3] += 800
    stage = ThroughPlane(ArraySlices(hu), ArraySlices(hu), run, run.style_code("smooth"), 0.0, 3, slab=4)
    back = stage.read(0, 21).reshape(7, 3, 32, 32).mean(axis=1)
    alone = run.network.bases[0](torch.from_numpy(hu)[None, None])[0, 0].numpy().reshape(7, 3, 32, 32).mean(axis=1)
    assert abs(back[3] - hu[3]).mean() < 0.35 * abs(alone[3] - hu[3]).mean()


def test_each_slice_is_decoded_once_when_read_forward_with_context() -> None:
    hu, decoded = scan(12), []

    def decode(start: int, stop: int) -> np.ndarray:
        decoded.extend(range(start, stop))
        return hu[start:stop]

    source = DecodedSlices((12, 32, 32), decode, keep=4)
    for k in range(12):
        low, high = max(k - 1, 0), min(k + 2, 12)
        np.testing.assert_array_equal(source.read(low, high), hu[low:high])
    assert decoded == list(range(12))
