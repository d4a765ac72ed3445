"""Discriminators: shapes in both dimensions, spectral norm at most 1, statistics that do not see positions."""

from __future__ import annotations

import pytest
import torch

from med_stylesr.losses.frequency import RadialSpectrum
from med_stylesr.networks.discriminator import (
    MultiScaleDiscriminator,
    PatchDiscriminator,
    TextureDiscriminator,
    UNetDiscriminator,
)


@pytest.mark.parametrize(("spatial_dims", "size"), [(2, [33, 40]), (3, [6, 17, 24])])
def test_every_discriminator_scores_images_of_any_size(spatial_dims: int, size: list[int]) -> None:
    stride = [1] * (spatial_dims - 2) + [2, 2]
    image = torch.randn(2, 1, *size)
    unet = UNetDiscriminator(spatial_dims, 1, [4, 8, 8], stride, True)
    scores = unet(image)
    assert list(scores[1].shape) == [2, 1, *size]  # a score per voxel
    for network in (
        PatchDiscriminator(spatial_dims, 1, [4, 8], stride, True),
        MultiScaleDiscriminator(spatial_dims, 1, [4, 8], stride, True, 2),
        TextureDiscriminator(spatial_dims, 1, [4, 4, 8], RadialSpectrum(8), 8, True),
    ):
        for score in network(image):
            assert score.shape[:2] == (2, 1)
            assert torch.isfinite(score).all()


def test_second_scale_sees_the_averaged_image() -> None:
    network = MultiScaleDiscriminator(2, 1, [4], [2, 2], False, 2)
    image = torch.randn(1, 1, 32, 32)
    expected = network.judges[1](torch.nn.functional.avg_pool2d(image, 2))[0]
    torch.testing.assert_close(network(image)[1], expected)


def test_spectral_norm_of_every_layer_is_at_most_one() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(2, 1, [8, 16], [2, 2], True)
    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, torch.nn.Conv2d):
                layer.parametrizations.weight.original.mul_(30)
    network.train()
    image = torch.randn(2, 1, 32, 32)
    for _ in range(100):  # the power iteration takes one step per forward pass
        network(image)
    for layer in network.layers:
        if isinstance(layer, torch.nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) <= 1.01


def test_texture_statistics_do_not_see_where_things_are() -> None:
    """A cyclic shift keeps the spectrum's rings nearly and a gain does not: the score follows statistics only."""
    torch.manual_seed(0)
    network = TextureDiscriminator(2, 1, [8, 8, 16], RadialSpectrum(8), 8, False)
    noise = torch.randn(4, 1, 64, 64)
    shift = (network(noise.roll(17, -1))[0] - network(noise)[0]).abs().mean()
    gain = (network(3 * noise)[0] - network(noise)[0]).abs().mean()
    assert shift < 0.1 * gain


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="stride"):
        PatchDiscriminator(2, 1, [4], [2, 2, 2], True)
    with pytest.raises(ValueError, match="three numbers"):
        TextureDiscriminator(2, 1, [4, 4], RadialSpectrum(8), 8, True)
