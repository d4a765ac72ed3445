"""SRResNet after Ledig et al., CVPR 2017, doi:10.1109/CVPR.2017.19, written from the paper.

Without batch normalisation, which moves HU (Lim et al., CVPRW 2017, doi:10.1109/CVPRW.2017.151, drop it too), and with
the cubic interpolation of the input added to its output, since bfloat16 cannot carry HU through thirty layers.
"""

from __future__ import annotations

import torch.nn.functional as F
from benchmarks.peers.hu_scale import RESIDUAL_HU, initialise, to_unit
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(filters, filters, 3, padding=1)
        self.second = nn.Conv2d(filters, filters, 3, padding=1)
        self.slope = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.second(self.slope(self.first(x)))


class SRResNet(nn.Module):
    """Sixteen residual blocks of 64 filters between 9 × 9 convolutions; sub-pixel output of twice the size."""

    def __init__(self, filters: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.head, self.head_slope = nn.Conv2d(1, filters, 9, padding=4), nn.PReLU()
        self.blocks = nn.Sequential(*(_Block(filters) for _ in range(blocks)))
        self.merge = nn.Conv2d(filters, filters, 3, padding=1)
        self.grow, self.grow_slope = nn.Conv2d(filters, 4 * filters, 3, padding=1), nn.PReLU()
        self.tail = nn.Conv2d(filters, 1, 9, padding=4)
        initialise(self, self.tail)

    def forward(self, hu: Tensor) -> Tensor:
        """HU (B, 1, H, W) to HU (B, 1, 2 H, 2 W)."""
        x = self.head_slope(self.head(to_unit(hu)))
        x = x + self.merge(self.blocks(x))
        x = self.grow_slope(F.pixel_shuffle(self.grow(x), 2))
        base = F.interpolate(hu.float(), scale_factor=2, mode="bicubic", align_corners=False)
        return self.tail(x).float() * RESIDUAL_HU + base
