"""Epoch means of every named term of the loss, where all of MONAI's log handlers find them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.engine import Engine, Events
from torch import Tensor


class TermAverages:
    """Averages `state.terms` over an epoch into `state.metrics`, which StatsHandler, TensorBoard and MLflow read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        """Register with a trainer that sets `state.terms` in every iteration."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._publish)

    def _reset(self, engine: Engine) -> None:
        self._sums, self._counts = {}, {}

    def _add(self, engine: Engine) -> None:
        terms: Mapping[str, Tensor] = engine.state.terms
        for name, value in terms.items():
            # Summed on the device: reading a number out would make a GPU wait.
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def _publish(self, engine: Engine) -> None:
        for name, total in self._sums.items():
            engine.state.metrics[name] = float(total) / self._counts[name]
