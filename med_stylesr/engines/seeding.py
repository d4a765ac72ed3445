"""Random numbers that depend on the epoch's number alone, so that a resumed run goes on exactly as it would have."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd

_LARGEST = 2**31 - 1


class EpochSeed:
    """Seeds Python, NumPy, torch and the data set's random transforms at the start of every epoch.

    Checkpoints then need no generator states: epoch n draws the same crops, noise and order whether or not the process
    was restarted before it. Valid for loaders that are exhausted within an epoch (`epoch_length` not set).

    Args:
        seed: the run's seed.
        dataset: the training data set (MONAI's random transforms inside it hold generators of their own).
        rank: number of this process in distributed training: every process draws its own crops and noise.
    """

    def __init__(self, seed: int, dataset: Any, rank: int = 0) -> None:
        self.seed, self.dataset, self.rank = seed, dataset, rank

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed all generators from (seed, rank, epoch)."""
        sequence = np.random.SeedSequence([self.seed, self.rank, engine.state.epoch])
        own, data = (int(x) % _LARGEST for x in sequence.generate_state(2))
        random.seed(own)
        np.random.seed(own)
        torch.manual_seed(own)
        set_rnd(self.dataset, seed=data)
