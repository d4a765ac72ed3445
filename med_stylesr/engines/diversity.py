"""The watch against collapsed styles: do different codes still make different images?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from monai.utils.type_conversion import convert_to_tensor
from torch import nn


class StyleDiversity:
    """Puts `style_diversity_hu` into the trainer's metrics: how far, on average, two styles' outputs lie apart.

    It is the mean absolute difference in HU over all pairs of styles on one fixed batch. A value that falls towards 0
    while training goes on means that the styles have collapsed into one.

    Args:
        network: the generator (usually the moving average).
        loader: validation loader whose first batch's `image` is used.
        inferer: how the network runs on such a batch.
        styles: number of styles in the bank.
    """

    def __init__(self, network: nn.Module, loader: Iterable[Any], inferer: Inferer, styles: int) -> None:
        self.network, self.loader, self.inferer, self.styles = network, loader, inferer, styles

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, before the handlers that print its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Measure."""
        if self.styles < 2:
            return
        image = convert_to_tensor(next(iter(self.loader))["image"], track_meta=False).to(engine.state.device)
        numbers = torch.arange(self.styles, device=image.device)
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            made = [self.inferer(image, self.network, style=k.expand(len(image))) for k in numbers]
        self.network.train(training)
        apart = [float((a - b).abs().mean()) for a, b in itertools.combinations(made, 2)]
        engine.state.metrics["style_diversity_hu"] = sum(apart) / len(apart)
