"""One opponent of the generator: a discriminator, what it looks at, and how it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from med_stylesr.engines.distributed import unwrap
from med_stylesr.errors import UsageError
from med_stylesr.losses.adversarial import AdversarialLoss
from med_stylesr.losses.composite import StyleWeights, Weight


class Adversary:
    """A discriminator with its own view, loss, optimiser and timetable.

    Args:
        name: how its terms are called in the logs: `d_<name>` (its own loss) and `g_<name>` (the generator's).
        discriminator: network from a scaled image (B, C, …) to a score map or a sequence of score maps.
        optimizer: optimiser of the discriminator's parameters (its learning rate is the second time scale).
        loss: the adversarial loss.
        view: module from HU to what the discriminator sees (a window, a gradient, …).
        weight: weight of the generator's term, a number or a number per style name.
        styles: names of the style bank in the bank's order.
        start_iteration: first iteration (from 1) in which the discriminator learns.
        ramp_iterations: iterations over which the generator's weight rises linearly from 0 after the start.
        steps: updates of the discriminator per update of the generator (n_d) >= 1.
        penalty: `GradientPenalty`, `R1Penalty` or None.
        penalty_weight: its weight.
        penalty_interval: apply it every so many iterations, times that number ("lazy"), >= 1.
        clip_weights: clamp every parameter to [-c, c] after an update (the first Wasserstein GAN); None: do not.
        max_norm: largest norm of the discriminator's gradient; larger ones are scaled down.

    Raises:
        UsageError: if `steps` or `penalty_interval` is below 1.
    """

    def __init__(
        self,
        name: str,
        discriminator: nn.Module,
        optimizer: Optimizer,
        loss: AdversarialLoss,
        view: nn.Module,
        weight: Weight,
        styles: Sequence[str],
        start_iteration: int,
        ramp_iterations: int,
        steps: int,
        penalty: nn.Module | None,
        penalty_weight: float,
        penalty_interval: int,
        clip_weights: float | None,
        max_norm: float,
    ) -> None:
        if steps < 1 or penalty_interval < 1:
            raise UsageError(f"adversary {name}", "steps and penalty_interval count from 1")
        self.name, self.discriminator, self.optimizer, self.loss, self.view = name, discriminator, optimizer, loss, view
        self.weights = StyleWeights(weight, styles)
        self.start_iteration, self.ramp_iterations, self.steps = start_iteration, ramp_iterations, steps
        self.penalty, self.penalty_weight, self.penalty_interval = penalty, penalty_weight, penalty_interval
        self.clip_weights, self.max_norm = clip_weights, max_norm

    def to(self, device: torch.device) -> Adversary:
        """Move the parts without parameters to `device` (the discriminator is placed by the configuration)."""
        self.weights.to(device)
        self.view.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: the discriminator's and its optimiser's state."""
        return {"discriminator": unwrap(self.discriminator).state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of `state_dict`."""
        unwrap(self.discriminator).load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])

    def active(self, iteration: int) -> bool:
        """Whether the discriminator takes part in this iteration (counted from 1)."""
        return self.weights.used and iteration >= self.start_iteration

    def learn(
        self, pred: Tensor, label: Tensor, style: Tensor | None, iteration: int, autocast: torch.autocast
    ) -> Mapping[str, Tensor]:
        """Update the discriminator `steps` times; samples of styles without weight are left out.

        Args:
            pred: generated image in HU (B, C, …).
            label: real image in HU, same shape.
            style: the batch's `style`, see `StyleWeights`.
            iteration: number of the iteration, from 1.
            autocast: precision of the discriminator's forward pass.

        Returns:
            Losses and the gradient norm by name, for the log and the guard against values that are not finite.
        """
        terms: dict[str, Tensor] = {}
        # A batch without such samples goes on with weight 0: in distributed training another process may have some, and
        # all must meet in the exchange of gradients.
        share = self._share(style, pred.shape[0])
        real, fake = self.view(label.detach()), self.view(pred.detach())
        self.discriminator.train()
        _thaw(self.discriminator, True)
        for _ in range(self.steps):
            self.optimizer.zero_grad(set_to_none=True)
            with autocast:
                # One forward pass for both: distributed training allows one per backward pass.
                scores = _as_list(self.discriminator(torch.cat([real, fake])))
            loss = (share * self.loss.discriminator(*_halves(scores), share)).mean()
            terms[f"d_{self.name}"] = loss.detach()
            if self.penalty is not None and iteration % self.penalty_interval == 0:
                penalty = (share * self.penalty(self._score, real, fake)).mean()
                terms[f"d_{self.name}_penalty"] = penalty.detach()
                loss = loss + self.penalty_weight * self.penalty_interval * penalty
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.discriminator.parameters(), self.max_norm)
            terms[f"d_{self.name}_gradient"] = norm
            if not bool(torch.isfinite(norm)):
                break
            self.optimizer.step()
            if self.clip_weights is not None:
                with torch.no_grad():
                    for parameter in self.discriminator.parameters():
                        parameter.clamp_(-self.clip_weights, self.clip_weights)
        return terms

    def _share(self, style: Tensor | None, batch: int) -> Tensor:
        """Weight of every sample (B,): 0 for styles without weight, the same for all others, of mean 1 (or all 0)."""
        keep = (self.weights(style, batch) > 0).float()
        return keep / keep.mean().clamp_min(1 / batch)

    def _score(self, image: Tensor) -> list[Tensor]:
        return _as_list(unwrap(self.discriminator)(image))

    def judge(
        self, pred: Tensor, label: Tensor, style: Tensor | None, iteration: int, autocast: torch.autocast
    ) -> tuple[Tensor, Tensor]:
        """Return the generator's weighted loss (B,) and the plain one (B,), with gradients into `pred` only."""
        inner = unwrap(self.discriminator)
        # The bare module: its parameters are frozen here, so there is nothing to exchange between processes.
        _thaw(inner, False)
        with autocast:
            fake = _as_list(inner(self.view(pred)))
        real = None
        if self.loss.needs_real:
            with autocast, torch.no_grad():
                real = _as_list(inner(self.view(label)))
        loss = self.loss.generator(fake, real, self._share(style, pred.shape[0]))
        ramp = 1.0
        if self.ramp_iterations > 0:
            ramp = min(1.0, (iteration - self.start_iteration + 1) / self.ramp_iterations)
        return ramp * self.weights(style, pred.shape[0]) * loss, loss


def _thaw(network: nn.Module, learning: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(learning)


def _as_list(scores: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [scores] if isinstance(scores, Tensor) else list(scores)


def _halves(scores: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    return [s.chunk(2)[0] for s in scores], [s.chunk(2)[1] for s in scores]
