"""The peers are the networks of their papers: sizes, reach, HU in and HU out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.cost import giga_macs, parameters
from benchmarks.peers import classical
from benchmarks.peers.du_gan import DuGanGenerator
from benchmarks.peers.hu_scale import initialise
from benchmarks.peers.interpolation import averaged, b_spline, gaussian_match, lanczos, unsharp_match
from benchmarks.peers.red_cnn import RedCNN
from benchmarks.peers.sr_resnet import SRResNet
from benchmarks.peers.wgan_vgg import WganVggCritic, WganVggGenerator
from torch import nn

from med_stylesr.networks.generator import StyleSRGenerator

NETWORKS = {"red": RedCNN, "wgan": WganVggGenerator, "du": DuGanGenerator, "sr": SRResNet}


@pytest.mark.parametrize(
    ("network", "millions"), [("red", 1.85), ("wgan", 0.056), ("du", 0.167), ("sr", 1.38)], ids=list(NETWORKS)
)
def test_parameter_counts_are_those_of_the_papers(network: str, millions: float) -> None:
    assert parameters(NETWORKS[network]()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_cost_of_a_slice_agrees_with_the_published_order() -> None:
    assert giga_macs(WganVggGenerator(), 1) == pytest.approx(14.7, rel=0.01)
    assert giga_macs(RedCNN(), 1) == pytest.approx(458, rel=0.02)


def test_work_is_counted_on_our_network_too_and_nothing_is_left_on_it() -> None:
    network = StyleSRGenerator(2, 1, (4,), (1,), (1, 1), 4)
    assert giga_macs(network, 1) > 0.01
    assert all(p.device.type == "cpu" and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", ["red", "wgan", "du"])
def test_untrained_denoisers_give_the_scan_back(name: str) -> None:
    hu = torch.linspace(-1000, 1500, 32 * 40).reshape(1, 1, 32, 40)
    torch.testing.assert_close(NETWORKS[name]()(hu), hu, atol=0.01, rtol=0)


def test_untrained_super_resolution_keeps_a_constant_and_doubles_the_size() -> None:
    out = SRResNet(8, 2)(torch.full((1, 1, 12, 10), 40.0))
    assert out.shape == (1, 1, 24, 20)
    torch.testing.assert_close(out, torch.full_like(out, 40.0))


@pytest.mark.parametrize(("name", "reach"), [("red", 20), ("wgan", 8), ("du", 20)])
def test_a_voxel_is_seen_as_far_as_the_layers_reach_and_no_further(name: str, reach: int) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](8)
    last = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
    initialise(network, nn.Linear(1, 1))
    assert last.weight.abs().sum() > 0
    hu = torch.full((1, 1, 64, 64), 30.0)
    hu += 5 * torch.rand_like(hu)
    hu.requires_grad_(True)
    network(hu)[0, 0, 32, 32].backward()
    seen = np.argwhere(hu.grad[0, 0].numpy() != 0) - 32
    assert reach / 2 <= np.abs(seen).max() <= reach


def test_critic_gives_one_score_per_patch() -> None:
    (scores,) = WganVggCritic(16)(torch.zeros(3, 1, 16, 16))
    assert scores.shape == (3, 1)


@pytest.mark.parametrize("name", ["gaussian", "bilateral", "tv", "nlm"])
def test_filters_lower_noise_and_keep_the_mean(name: str) -> None:
    rng = np.random.default_rng(0)
    noisy = (50 + 20 * rng.standard_normal((1, 48, 48))).astype(np.float32)
    family = classical.FILTERS[name]
    done = np.stack([family.apply(plane, 20.0, family.parameters[-2]) for plane in noisy])
    assert done.std() < 0.8 * noisy.std()
    assert abs(done.mean() - noisy.mean()) < 1.0


@pytest.mark.parametrize("name", ["bilateral", "tv", "nlm"])
def test_filter_parameters_are_in_units_of_the_noise(name: str) -> None:
    rng = np.random.default_rng(1)
    plane = rng.standard_normal((40, 40))
    family = classical.FILTERS[name]
    parameter = family.parameters[1]
    small, large = family.apply(10 * plane, 10.0, parameter), family.apply(80 * plane, 80.0, parameter)
    np.testing.assert_allclose(large / 8, small, atol=0.6)


def test_interpolation_keeps_the_field_of_view() -> None:
    z, y, x = np.meshgrid(np.arange(6), np.arange(8), np.arange(8), indexing="ij")
    ramp = (100.0 * z + 10.0 * y + x).astype(np.float32)
    for factors in ((2, 1, 1), (1, 2, 2), (3, 1, 1)):
        back = averaged(b_spline(ramp, factors), factors)
        inner = np.s_[1:-1, 2:-2, 2:-2] if factors[0] > 1 else np.s_[:, 2:-2, 2:-2]
        np.testing.assert_allclose(back[inner], ramp[inner], atol=3.0)
    back = averaged(lanczos(ramp, 2), (1, 2, 2))
    np.testing.assert_allclose(back[:, 3:-3, 3:-3], ramp[:, 3:-3, 3:-3], atol=0.5)


def test_unsharp_mask_raises_what_the_gaussian_lowers() -> None:
    step = np.zeros((1, 32, 32), dtype=np.float32)
    step[..., 16:] = 100
    soft = gaussian_match(step, 1.5)
    sharp = unsharp_match(soft, 1.5, 1.0)
    slope = [np.abs(np.diff(image[0, 16])).max() for image in (soft, sharp)]
    assert slope[1] > 1.2 * slope[0]
