"""DU-GAN's generator after Huang et al., IEEE TIM 71 (2022), doi:10.1109/TIM.2021.3128703, written from the paper.

Its discriminators are U-shaped, one on the image and one on its Sobel gradient; the package's `UNetDiscriminator` is of
that kind. CutMix consistency is left out: within a budget of minutes on a CPU it would take a third of the steps.
"""

from __future__ import annotations

import torch.nn.functional as F
from benchmarks.peers.hu_scale import RESIDUAL_HU, initialise, to_unit
from torch import Tensor, nn


class DuGanGenerator(nn.Module):
    """RED-CNN's plan with ten convolutions, ten deconvolutions, 3 × 3, 32 filters and ten shortcuts. 167 thousand."""

    def __init__(self, filters: int = 32, depth: int = 10) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(1 if i == 0 else filters, filters, 3, padding=1) for i in range(depth))
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(filters, 1 if i == depth - 1 else filters, 3, padding=1) for i in range(depth)
        )
        initialise(self, self.decoder[-1])

    def forward(self, hu: Tensor) -> Tensor:
        """HU (B, 1, H, W) to HU of the same shape."""
        x, shortcuts = to_unit(hu), []
        for layer in self.encoder:
            x = F.relu(layer(x))
            shortcuts.append(x)
        shortcuts.pop()
        for layer in self.decoder[:-1]:
            # Halved: ten sums of maps of equal size would grow a thousandfold with Kaiming initialisation.
            x = F.relu(layer(x) + shortcuts.pop()) / 2**0.5
        return self.decoder[-1](x).float() * RESIDUAL_HU + hu.float()
