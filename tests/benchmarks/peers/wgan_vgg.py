"""WGAN-VGG after Yang et al., IEEE TMI 37 (2018) 1348, doi:10.1109/TMI.2018.2827462, written from the paper.

Two things differ and are told in the benchmark: the perceptual loss looks through the encoder trained on CT of this
repository instead of VGG19 trained on photographs, and the network adds its output to its input, since bfloat16 cannot
carry HU through eight layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from benchmarks.peers.hu_scale import RESIDUAL_HU, initialise, to_unit
from torch import Tensor, nn


class WganVggGenerator(nn.Module):
    """Eight convolutions, 3 × 3, 32 filters, ReLU between them. 56 thousand parameters."""

    def __init__(self, filters: int = 32) -> None:
        super().__init__()
        widths = [1, *[filters] * 7, 1]
        self.layers = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, padding=1) for i in range(8))
        initialise(self, self.layers[-1])

    def forward(self, hu: Tensor) -> Tensor:
        """HU (B, 1, H, W) to HU of the same shape."""
        x = to_unit(hu)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x).float() * RESIDUAL_HU + hu.float()


class WganVggCritic(nn.Module):
    """Six convolutions, 3 × 3, of 64, 64, 128, 128, 256, 256 filters with strides 1 and 2 in turn; two dense layers.

    Args:
        patch: edge of the patches that are judged, in pixels.
    """

    def __init__(self, patch: int) -> None:
        super().__init__()
        widths = [1, 64, 64, 128, 128, 256, 256]
        layers: list[nn.Module] = []
        for i in range(6):
            layers += [nn.Conv2d(widths[i], widths[i + 1], 3, stride=1 + i % 2, padding=1), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.judge = nn.Sequential(nn.Linear(256 * (patch // 8) ** 2, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """One score per bounded image (B, 1, patch, patch)."""
        return [self.judge(torch.flatten(self.features(image), 1))]
