"""Learning rates over a run."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR


class CosineDecay(CosineAnnealingLR):
    """Half a cosine from the optimiser's rate to the last one, and then that.

    Torch's own schedule rises again after its end, and on resume it takes its length from the checkpoint: a run that is
    resumed to more epochs would climb back to the first rate. This one follows the configuration.

    Args:
        optimizer: whose rates are set.
        T_max: epochs of the run.
        eta_min: the last rate.

    Source: Loshchilov, Hutter 2017, arXiv 1608.03983, eq. 5, without restarts.
    """

    def get_lr(self) -> list[float | Tensor]:
        """Return the rates of the epoch, one per parameter group; they depend on its number alone."""
        share = (1 + math.cos(math.pi * min(self.last_epoch, self.T_max) / self.T_max)) / 2
        return [self.eta_min + share * (rate - self.eta_min) for rate in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the epoch of a checkpoint, not the length and the last rate that it was written with."""
        super().load_state_dict({name: x for name, x in state_dict.items() if name not in ("T_max", "eta_min")})
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
