"""Training without pairs: one style-switched generator that goes both ways, tied by cycle and identity losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from med_stylesr.engines.adversary import Adversary
from med_stylesr.engines.guard import require_finite
from med_stylesr.engines.paired import PairedGanTrainer
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
        iteration = self.state.iteration
        to_normal = torch.full((len(low),), self.target_style, device=low.device)
        to_low = torch.full((len(low),), self.source_style, device=low.device)
        self.network.train()
        made_normal, made_low = self._generate(low, to_normal), self._generate(normal, to_low)
        self.state.output = {Keys.IMAGE: low, Keys.LABEL: normal, Keys.PRED: made_normal.detach()}
        self.fire_event(IterationEvents.FORWARD_COMPLETED)

        terms: dict[str, Tensor] = {}
        sides = [(a, made_normal, normal, to_normal) for a in self.adversaries]
        sides += [(a, made_low, low, to_low) for a in self.source_adversaries]
        sides = [side for side in sides if side[0].active(iteration)]
        for adversary, made, real, style in sides:
            terms.update(adversary.learn(made, real, style, iteration, self.autocast()))
        require_finite(terms, self.state)

        cycle = self.loss_function(self._generate(made_normal, to_low), low)
        cycle = cycle + self.loss_function(self._generate(made_low, to_normal), normal)
        identity = self.loss_function(self._generate(normal, to_normal), normal)
        identity = identity + self.loss_function(self._generate(low, to_low), low)
        terms.update(cycle=cycle.detach().mean(), identity=identity.detach().mean())
        total = self.cycle_weight * cycle + self.identity_weight * identity
        for adversary, made, real, style in sides:
            weighted, plain = adversary.judge(made, real, style, iteration, self.autocast())
            terms[f"g_{adversary.name}"] = plain.detach().mean()
            total = total + weighted
        terms["gradient"] = self._descend(total.mean(), terms)
        self.state.terms = terms
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _generate(self, image: Tensor, style: Tensor) -> Tensor:
        with self.autocast():
            pred = self.inferer(image, self.network, style=style)
        return pred.float()
