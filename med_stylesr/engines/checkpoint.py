"""Two files a run leaves behind: everything needed to go on, and the best weights so far."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from med_stylesr.engines.distributed import unwrap
from med_stylesr.errors import UsageError
from med_stylesr.networks.state_file import read_state


class ResumePoint:
    """Writes the state of every part after each epoch, whole or not at all, over the previous one; and goes on from it.

    Parts: networks, optimisers, schedules and handlers with a state. The trainer's own counters are added as `trainer`.

    Args:
        path: the file, for example `runs/train/last.pt`.
        parts: objects with `state_dict` and `load_state_dict` by name.
        interval: epochs between two writings.
        resume: load the file when the run starts.
        enabled: False in all but one process of distributed training (loading happens in all).
    """

    def __init__(
        self, path: str, parts: Mapping[str, Any], interval: int, resume: bool = False, enabled: bool = True
    ) -> None:
        self.path, self.parts, self.interval = pathlib.Path(path), parts, interval
        self.resume, self.enabled = resume, enabled

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, as the last handler, so that it sees what the others did in the epoch."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file."""
        if self.enabled:
            state = {name: unwrap(part).state_dict() for name, part in self.parts.items()}
            write_state({**state, "trainer": engine.state_dict()}, self.path)

    def _load(self, engine: Engine) -> None:
        if not self.path.is_file():
            raise UsageError(str(self.path), "there is nothing to resume from", "start without resume")
        state = read_state(self.path, str(self.path), "start without resume", engine.state.device)
        if set(state) != {*self.parts, "trainer"}:
            odd = sorted(set(state) ^ {*self.parts, "trainer"})[0]
            raise UsageError(
                str(self.path), f"was written by a run with other parts ({odd})", "use it as `pretrained` instead"
            )
        for name, part in self.parts.items():
            unwrap(part).load_state_dict(state[name])
        wanted = engine.state.max_epochs
        engine.load_state_dict(state["trainer"])
        engine.state.max_epochs = wanted
        if engine.state.epoch >= wanted:
            raise UsageError(
                str(self.path), f"the run already has {engine.state.epoch} epochs", "raise train#trainer#max_epochs"
            )


class BestWeights:
    """Keeps the plain state dict of a network whenever a validation metric has improved.

    Args:
        path: the file, for example `runs/train/model.pt`.
        network: the network (usually the moving average).
        metric: name in the evaluator's `state.metrics`.
        larger_is_better: direction of the metric.
        enabled: False in all but one process of distributed training.
    """

    def __init__(
        self, path: str, network: nn.Module, metric: str, larger_is_better: bool, enabled: bool = True
    ) -> None:
        self.path, self.network, self.metric = pathlib.Path(path), network, metric
        self.sign, self.enabled = (1.0 if larger_is_better else -1.0), enabled
        self.best = -float("inf")

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file if the metric is better than ever before in this run, resumed or not."""
        score = self.sign * float(engine.state.metrics[self.metric])
        if score > self.best:
            self.best = score
            if self.enabled:
                write_state(unwrap(self.network).state_dict(), self.path)

    def forget(self) -> None:
        """Start afresh: what is measured from now on does not compare with what was (another head, other data)."""
        self.best = -float("inf")

    def state_dict(self) -> dict[str, float]:
        """Return the best score, so that a resumed run does not overwrite better weights."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over the best score of the run that is resumed."""
        self.best = state["best"]


def write_state(state: Mapping[str, Any], path: pathlib.Path) -> None:
    """Write a state with `torch.save` under a temporary name and rename it: the file is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)
