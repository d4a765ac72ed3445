"""Torch with bfloat16 convolutions: half the time where the processor or GPU multiplies bfloat16 natively."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from med_stylesr.inference.runtime import (
    BFLOAT16,
    ROWS_PER_BAND,
    Runtime,
    channels_last,
    lay_out_channels_last,
)
from med_stylesr.networks.generator import StyleSRGenerator


class BFloat16Runtime(Runtime):
    """Autocast to bfloat16 between the first and the last layer, which stay in float32 like all that is added to them.

    The identity path never sees bfloat16: at 3071 HU one of its steps is 16 HU.

    Args:
        network: see `Runtime`; not changed.
        pixels_per_band: see `Runtime`.
    """

    name = "torch"
    version = torch.__version__
    precision = BFLOAT16

    def __init__(self, network: StyleSRGenerator, pixels_per_band: int = ROWS_PER_BAND) -> None:
        super().__init__(network, pixels_per_band)
        self._mixed = copy.deepcopy(network)
        lay_out_channels_last(self._mixed)
        self._mixed.head = _Float32(self._mixed.head)
        self._mixed.tails = nn.ModuleList(_Float32(tail) for tail in self._mixed.tails)

    def residuals(self, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        """See `StyleSRGenerator.residuals`."""
        with torch.autocast(bounded.device.type, torch.bfloat16):
            return self._mixed.residuals(channels_last(bounded), code, scale)


class _Float32(nn.Module):
    """A layer outside of autocast."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            result: Tensor = self.layer(x.float())
            return result
