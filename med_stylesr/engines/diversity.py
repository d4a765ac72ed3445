"""The watch against collapsed styles: do different codes still make different images?"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils.type_conversion import convert_to_tensor
from torch import nn


class StyleDiversity:
    """Puts `style_diversity_hu` into the trainer's metrics: how far, on average, two styles' outputs lie apart.

    It is the mean absolute difference in HU over all pairs of styles on one fixed image. A value that falls towards 0
    while training goes on means that the styles have collapsed into one.

    Args:
        network: the generator (usually the moving average).
        dataset: the data set whose first item's `image` is used.
        styles: number of styles in the bank.
    """

    def __init__(self, network: nn.Module, dataset: Any, styles: int) -> None:
        self.network, self.dataset, self.styles = network, dataset, styles

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, before the handlers that print its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Measure."""
        if self.styles < 2:
            return
        item = self.dataset[0]
        image = convert_to_tensor(item["image"], track_meta=False)[None].to(engine.state.device)
        training = self.network.training
        self.network.eval()
        with torch.no_grad():
            made = [self.network(image, style=torch.tensor([k], device=image.device)) for k in range(self.styles)]
        self.network.train(training)
        apart = [float((a - b).abs().mean()) for a, b in itertools.combinations(made, 2)]
        engine.state.metrics["style_diversity_hu"] = sum(apart) / len(apart)
