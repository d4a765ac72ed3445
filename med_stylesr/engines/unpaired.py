"""Training without pairs: one style-switched generator that goes both ways, tied by cycle and identity losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import SupervisedTrainer

from med_stylesr.engines.adversary import Adversary
from med_stylesr.engines.paired import PairedGanTrainer, Side
from med_stylesr.errors import UsageError


class UnpairedGanTrainer(PairedGanTrainer):
    r"""Cycle-consistent training on low-dose images x and normal-dose images y of different patients.

    One generator G makes both directions, switched by its style: N (normal dose) and L (low dose). Minimised are

    $$ A_N(G(x, N)) + A_L(G(y, L)) + \lambda_c\,[\ell(G(G(x, N), L), x) + \ell(G(G(y, L), N), y)]
       + \lambda_i\,[\ell(G(y, N), y) + \ell(G(x, L), x)] $$

    The generator must map one channel to one (`in_channels` 1) at scale 1.

    Args:
        loss_function: the distance \(\ell\) in cycle and identity terms.
        adversaries: judges of normal-dose images; at least one.
        source_adversaries: judges of low-dose images; at least one.
        target_style: number of the style N in the generator's bank.
        source_style: number of the style L.
        cycle_weight: lambda_c.
        identity_weight: lambda_i.
        paired: the remaining arguments of `PairedGanTrainer`.

    Raises:
        UsageError: if a side has no adversary.

    Source: CycleGAN, Zhu et al. 2017, doi 10.1109/ICCV.2017.244; one switchable generator, Gu and Ye 2021,
        arXiv 2008.05753.
    """

    def __init__(
        self,
        *,
        adversaries: Sequence[Adversary],
        source_adversaries: Sequence[Adversary],
        target_style: int,
        source_style: int,
        cycle_weight: float,
        identity_weight: float,
        **paired: Any,
    ) -> None:
        if not adversaries or not source_adversaries:
            raise UsageError("UnpairedGanTrainer", "needs an adversary for each of the two domains")
        super().__init__(adversaries=adversaries, **paired)
        self.source_adversaries = [adversary.to(self.state.device) for adversary in source_adversaries]
        self.target_style, self.source_style = target_style, source_style
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight

    def _iteration(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        low, normal, *_ = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        to_normal = torch.full((len(low),), self.target_style, device=low.device)
        to_low = torch.full((len(low),), self.source_style, device=low.device)
        self.network.train()
        made_normal, made_low = self._generate(low, style=to_normal), self._generate(normal, style=to_low)
        self._show(low, normal, made_normal)
        sides = self._active(
            [Side(adversary, made_normal, normal, to_normal) for adversary in self.adversaries]
            + [Side(adversary, made_low, low, to_low) for adversary in self.source_adversaries]
        )
        terms = self._discriminate(sides)
        cycle = self.loss_function(self._generate(made_normal, style=to_low), low)
        cycle = cycle + self.loss_function(self._generate(made_low, style=to_normal), normal)
        identity = self.loss_function(self._generate(normal, style=to_normal), normal)
        identity = identity + self.loss_function(self._generate(low, style=to_low), low)
        terms.update(cycle=cycle.detach().mean(), identity=identity.detach().mean())
        return self._finish(self.cycle_weight * cycle + self.identity_weight * identity, sides, terms)
