"""HU in, HU out for networks that were published for images in [0, 1]."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from med_stylesr.hu import HU_MIN

INPUT_HU: Final = 1000.0
"""HU that one unit of the input stands for: air is 0, water 1."""
RESIDUAL_HU: Final = 50.0
"""HU that one unit of a last layer stands for, about the noise of a low-dose scan: minutes of training would otherwise
go into finding the scale. A change of the last layer's initial size only."""


def to_unit(hu: Tensor) -> Tensor:
    """HU to network units: 0 is air."""
    return (hu.float() - HU_MIN) / INPUT_HU


def initialise(network: nn.Module, last: nn.Module) -> None:
    """Kaiming initialisation, and a last layer that starts at zero: the untrained network gives its input back.

    The papers' own initialisations (normal, 0.01) need hours of training to leave their start.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
