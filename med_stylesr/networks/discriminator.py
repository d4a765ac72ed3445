"""Discriminators in two and three dimensions: patches, several scales, U-shaped, and texture statistics.

All take an already bounded image (B, C, …) and return a list of raw score tensors (no activation), which
`AdversarialLoss` weights equally.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2


def _convolution(
    spatial_dims: int, inputs: int, outputs: int, kernel: int, stride: Sequence[int], spectral: bool
) -> nn.Module:
    layer_type: Any = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    layer = layer_type(inputs, outputs, kernel, stride=tuple(stride), padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    nn.init.zeros_(layer.bias)
    # Largest singular value of the kernel as a matrix: Miyato et al. 2018, arXiv 1802.05957.
    return spectral_norm(layer) if spectral else layer


def _check(spatial_dims: int, features: Sequence[int], stride: Sequence[int]) -> None:
    if spatial_dims not in (2, 3) or len(stride) != spatial_dims or not features:
        raise ValueError("spatial_dims is 2 or 3; stride needs one number per axis; features at least one entry")


class PatchDiscriminator(nn.Module):
    """A score per patch (Isola et al. 2017, doi 10.1109/CVPR.2017.632), from plain strided 3-wide convolutions.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: channels per level; each level strides once.
        stride: step of every level per axis, for example (2, 2) or (1, 2, 2).
        spectral: constrain every layer's spectral norm to 1.

    Raises:
        ValueError: for sizes that do not fit.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, features: Sequence[int], stride: Sequence[int], spectral: bool
    ) -> None:
        super().__init__()
        _check(spatial_dims, features, stride)
        layers: list[nn.Module] = []
        inputs = in_channels
        for outputs in features:
            layers += [_convolution(spatial_dims, inputs, outputs, 3, stride, spectral), nn.LeakyReLU(_SLOPE)]
            inputs = outputs
        layers.append(_convolution(spatial_dims, inputs, 1, 3, [1] * spatial_dims, spectral))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one score map of shape (B, 1, …)."""
        return [self.layers(image)]


class MultiScaleDiscriminator(nn.Module):
    """Patch discriminators on the image and on averaged copies of it (Wang et al. 2018, doi 10.1109/CVPR.2018.00917).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: see `PatchDiscriminator`.
        stride: see `PatchDiscriminator`; also the averaging from one scale to the next.
        spectral: see `PatchDiscriminator`.
        scales: number of discriminators >= 1.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        stride: Sequence[int],
        spectral: bool,
        scales: int,
    ) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            PatchDiscriminator(spatial_dims, in_channels, features, stride, spectral) for _ in range(scales)
        )
        self.spatial_dims, self.stride = spatial_dims, list(stride)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one score map per scale, finest first."""
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        scores: list[Tensor] = []
        for k, judge in enumerate(self.judges):
            if k:
                image = pool(image, self.stride)
            scores += judge(image)
        return scores


class UNetDiscriminator(nn.Module):
    """A score for the whole patch from the bottleneck and one per voxel from the decoder (DU-GAN's idea).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: channels per level, level 0 at full resolution.
        stride: step from one level to the next per axis.
        spectral: constrain every layer's spectral norm to 1.

    Source: Huang et al. 2022, doi 10.1109/TIM.2021.3128703; Schoenfeld et al. 2020, arXiv 2002.12655.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, features: Sequence[int], stride: Sequence[int], spectral: bool
    ) -> None:
        super().__init__()
        _check(spatial_dims, features, stride)
        one = [1] * spatial_dims
        self.head = _convolution(spatial_dims, in_channels, features[0], 3, one, spectral)
        pairs = list(itertools.pairwise(features))
        self.downs = nn.ModuleList(_convolution(spatial_dims, a, b, 3, stride, spectral) for a, b in pairs)
        self.bottleneck = _convolution(spatial_dims, features[-1], 1, 1, one, spectral)
        self.ups = nn.ModuleList(_convolution(spatial_dims, a + b, a, 3, one, spectral) for a, b in reversed(pairs))
        self.tail = _convolution(spatial_dims, features[0], 1, 1, one, spectral)
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the bottleneck's score map and the full-resolution one."""
        x = F.leaky_relu(self.head(image), _SLOPE)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = F.leaky_relu(down(x), _SLOPE)
        scores = [self.bottleneck(x)]
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode=self.mode, align_corners=False)
            x = F.leaky_relu(up(torch.cat([x, skip], 1)), _SLOPE)
        return [*scores, self.tail(x)]


class TextureDiscriminator(nn.Module):
    """A score from statistics alone: the Gram matrix of a few features and the radial power spectrum in plane.

    It cannot see where anything is, so it judges noise texture and kernel and cannot ask for invented structure.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: channels of the two feature layers and of the judging layer.
        spectrum: module that gives the power (B, C, bins), `med_stylesr.losses.frequency.RadialSpectrum`.
        bins: its number of rings.
        spectral: constrain every layer's spectral norm to 1.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        spectrum: nn.Module,
        bins: int,
        spectral: bool,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3) or len(features) != 3:
            raise ValueError("spatial_dims is 2 or 3 and features are three numbers")
        one = [1] * spatial_dims
        self.spectrum = spectrum
        self.first = _convolution(spatial_dims, in_channels, features[0], 3, one, spectral)
        self.second = _convolution(spatial_dims, features[0], features[1], 3, one, spectral)
        size = features[1] * features[1] + bins * in_channels
        linear = [nn.Linear(size, features[2]), nn.Linear(features[2], 1)]
        first, last = (spectral_norm(layer) if spectral else layer for layer in linear)
        self.judge = nn.Sequential(first, nn.LeakyReLU(_SLOPE), last)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one score per image, shape (B, 1)."""
        x = F.leaky_relu(self.second(F.leaky_relu(self.first(image), _SLOPE)), _SLOPE).float().flatten(2)
        gram = torch.einsum("bcn,bdn->bcd", x, x) / x.shape[-1]
        # Log power of a bounded image lies in about -12 ... 5; brought near unit size for the linear layer.
        power = (self.spectrum(image.float()) + math.exp(-12)).log() / 5
        return [self.judge(torch.cat([gram.flatten(1), power.flatten(1)], 1))]
