"""RED-CNN after Chen et al., IEEE TMI 36 (2017) 2524, doi:10.1109/TMI.2017.2715284, written from the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from benchmarks.peers.hu_scale import INPUT_HU, RESIDUAL_HU, initialise, to_unit
from torch import Tensor, nn

from med_stylesr.hu import HU_MIN


class RedCNN(nn.Module):
    """Five convolutions and five deconvolutions, 5 × 5, 96 filters, without padding; three shortcuts; ReLU at the end.

    Shortcuts (figure 1 of the paper): the input to the output of the last deconvolution, the second convolution to that
    of the third, the fourth convolution to that of the first. 1.85 million parameters.
    """

    def __init__(self, filters: int = 96) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(1 if i == 0 else filters, filters, 5) for i in range(5))
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(filters, 1 if i == 4 else filters, 5) for i in range(5))
        initialise(self, self.decoder[-1])

    def forward(self, hu: Tensor) -> Tensor:
        """HU (B, 1, H, W), H and W at least 21, to HU of the same shape."""
        x, shortcuts = to_unit(hu), []
        for i, layer in enumerate(self.encoder):
            if i in (2, 4):
                shortcuts.append(x)
            x = F.relu(layer(x))
        for i, layer in enumerate(self.decoder[:-1]):
            x = layer(x)
            if i in (0, 2):
                x = x + shortcuts.pop()
            x = F.relu(x)
        residual = self.decoder[-1](x).float() * (RESIDUAL_HU / INPUT_HU)
        return torch.relu(residual + to_unit(hu)) * INPUT_HU + HU_MIN
