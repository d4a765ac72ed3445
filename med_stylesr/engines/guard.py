"""The guard against divergence: stops before a bad update, so that the weights in memory and on disk stay good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from med_stylesr.errors import MedStyleError


class TrainingDivergedError(MedStyleError):
    """A loss or a gradient is not finite; the update was not made."""


def require_finite(terms: Mapping[str, Tensor], state: Any) -> None:
    """Stop the run if one of the terms is not finite.

    Args:
        terms: scalars by name.
        state: the engine's state, for the epoch and iteration in the message.

    Raises:
        TrainingDivergedError: naming the terms.
    """
    if not terms:
        return
    # One transfer for all terms: on a GPU each would wait for the device.
    if bool(torch.isfinite(torch.stack([value.float() for value in terms.values()])).all()):
        return
    bad = [name for name, value in terms.items() if not bool(torch.isfinite(value))]
    raise TrainingDivergedError(
        f"training, epoch {state.epoch}, iteration {state.iteration}",
        f"not finite: {', '.join(bad)}",
        "the update was not made and the last checkpoint is good: resume from it with a lower learning rate, "
        "a lower max_norm or amp off, and look at the data of this iteration",
    )
