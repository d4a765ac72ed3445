"""Training on pairs of low-dose and normal-dose images, with any number of discriminators or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor, nn

from med_stylesr.engines.adversary import Adversary
from med_stylesr.engines.guard import require_finite
from med_stylesr.engines.terms import TermAverages
from med_stylesr.errors import UsageError
from med_stylesr.losses.composite import CompositeLoss

Prepared = tuple[Tensor, Tensor, tuple[Any, ...], dict[str, Any]]


class Side(NamedTuple):
    """What one adversary sees in an iteration.

    Attributes:
        adversary: who judges.
        made: generated images (B, 1, …) in HU.
        real: real ones of the same shape.
        style: the style that the generator was given, see `StyleWeights`.
    """

    adversary: Adversary
    made: Tensor
    real: Tensor
    style: Tensor | None


def prepare_pair(
    batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
) -> Prepared:
    """Take `image`, `label` and, where present, `style` from a batch and move them to the device.

    Args:
        batch: mapping with `image` (B, C, …) and `label` (B, 1, …) in HU; `style`: bank index (B,) int64, style code
            (B, style_dim) or reference image (B, 1, …) in HU.
        device: where to compute.
        non_blocking: copy without waiting for the device.
        kwargs: further arguments of `torch.Tensor.to`.

    Returns:
        The image, the label, no positional and the keyword arguments of the network.
    """

    def move(value: Any) -> Tensor:
        tensor: Tensor = convert_to_tensor(value, track_meta=False)
        if tensor.dim() == 4:
            # Dense 2D convolutions run near the peak of CPUs in this layout only.
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor.to(device=device, non_blocking=non_blocking, **kwargs)

    extra = {"style": move(batch["style"])} if "style" in batch else {}
    return move(batch[Keys.IMAGE]), move(batch[Keys.LABEL]), (), extra


def prepare_scaled_pair(
    batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
) -> Prepared:
    """As `prepare_pair`, and ask the generator for the head whose scale the label's size implies.

    Raises:
        ValueError: if the label's size is no whole multiple of the image's.
    """
    image, label, args, extra = prepare_pair(batch, device, non_blocking, **kwargs)
    small, large = image.shape[2:], label.shape[2:]
    if any(b % a for a, b in zip(small, large, strict=True)):
        raise ValueError(f"label size {tuple(large)} is no multiple of image size {tuple(small)}")
    return image, label, args, {**extra, "scale": [b // a for a, b in zip(small, large, strict=True)]}


class PairedGanTrainer(SupervisedTrainer):
    """MONAI's supervised trainer with adversaries, bfloat16 autocast, gradient clipping and a guard against divergence.

    Without adversaries it is plain supervised training (stage 1). With them, every iteration runs the generator once,
    updates each active discriminator with that output (two time scales: each has its own optimiser), then updates the
    generator with the sum of the fidelity losses and the adversaries' terms. Handlers, checkpoints, early stopping and
    `MonaiAlgo` work as with the parent class. Epoch means of every term stand in `state.metrics`.

    Adversaries hold the batch's `real` (B, 1, …) for real where it has one, its label otherwise.

    Where the batch has `noisy` (B, 1, …) and `kept` (B,), a prediction p is compared as (1 − kept) p + kept · noisy,
    and adversaries are shown (1 − √kept) p + √kept · noisy: with kept = d, the dose fraction, these are the mean-square
    estimate of the normal-dose image and the one with normal-dose noise, both made of a p without noise. Where it has
    `weight` (B,), the fidelity of each sample counts that much.

    The iteration's losses and gradient norms are checked before the optimiser moves: a value that is not finite stops
    the run and the weights stay as they were.

    Args:
        loss_function: fidelity loss, called as `loss(pred, label)` on HU images, giving shape (B,); a `CompositeLoss`
            logs its terms and weights them per style.
        adversaries: the discriminators; may be empty.
        amp: run networks under bfloat16 autocast (CPU and GPU); losses stay in float32.
        max_norm: largest norm of the generator's gradient; larger ones are scaled down.
        supervised: the remaining arguments of `monai.engines.SupervisedTrainer`.

    Raises:
        UsageError: if an argument of the parent is given that this trainer does not honour, or the data fill no batch.
    """

    def __init__(
        self,
        *,
        loss_function: nn.Module,
        max_norm: float,
        adversaries: Sequence[Adversary] = (),
        amp: bool = False,
        **supervised: Any,
    ) -> None:
        for name in ("accumulation_steps", "compile", "amp_kwargs", "iteration_update"):
            if name in supervised:
                raise UsageError(f"PairedGanTrainer {name}", "is not supported by this trainer", "leave it out")
        supervised.setdefault("prepare_batch", prepare_pair)
        # Before the configured handlers, which print what this one computes.
        supervised["train_handlers"] = [TermAverages(), *(supervised.get("train_handlers") or ())]
        super().__init__(loss_function=loss_function, amp=False, **supervised)
        if self.state.epoch_length == 0:
            raise UsageError("training data", "fills no batch", "give more scans or patches, or a smaller batch_size")
        # The parent's amp means float16 on CUDA with a gradient scaler; bfloat16 has float32's range and needs none.
        self.half_precision = amp
        self.max_norm = max_norm
        self.adversaries = [adversary.to(self.state.device) for adversary in adversaries]

    def autocast(self) -> torch.autocast:
        """Return a fresh context for the networks' forward passes."""
        return torch.autocast(self.state.device.type, dtype=torch.bfloat16, enabled=self.half_precision)

    def _iteration(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        batch = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        # As in the parent class: two entries, or four with the network's further arguments.
        image, label, args, kwargs = batch if len(batch) == 4 else (*batch, (), {})
        style = kwargs.get("style")
        real = batchdata["real"].to(label) if "real" in batchdata else label
        self.network.train()
        pred = self._generate(image, *args, **kwargs)
        self._show(image, label, pred)
        compared, shown = given_back(pred, batchdata)
        sides = self._active([Side(adversary, shown, real, style) for adversary in self.adversaries])
        terms = self._discriminate(sides)
        total, parts = fidelity(self.loss_function, compared, label, style)
        if "weight" in batchdata:
            total = total * batchdata["weight"].to(total)
        terms.update({name: value.detach().mean() for name, value in parts.items()})
        return self._finish(total, sides, terms)

    def _generate(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with self.autocast():
            pred = self.inferer(image, self.network, *args, **kwargs)
        return pred.float()

    def _show(self, image: Tensor, label: Tensor, pred: Tensor) -> None:
        """Put the images into the state, where handlers expect them after the forward pass."""
        self.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.PRED: pred.detach()}
        self.fire_event(IterationEvents.FORWARD_COMPLETED)

    def _active(self, sides: Sequence[Side]) -> list[Side]:
        return [side for side in sides if side.adversary.active(self.state.iteration)]

    def _discriminate(self, sides: Sequence[Side]) -> dict[str, Tensor]:
        """Update the discriminators; return their terms."""
        terms: dict[str, Tensor] = {}
        for adversary, made, real, style in sides:
            terms.update(adversary.learn(made, real, style, self.state.iteration, self.autocast()))
            require_finite(terms, self.state)
        return terms

    def _finish(self, total: Tensor, sides: Sequence[Side], terms: dict[str, Tensor]) -> dict[str, Any]:
        """Update the generator with its losses (B,) and those that the adversaries add; log; return the output."""
        for adversary, made, real, style in sides:
            weighted, plain = adversary.judge(made, real, style, self.state.iteration, self.autocast())
            terms[f"g_{adversary.name}"] = plain.detach().mean()
            total = total + weighted
        terms["gradient"] = self._descend(total.mean(), terms)
        self.state.terms = terms
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _descend(self, loss: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """Update the generator once; return the norm of its gradient before clipping."""
        self.state.output[Keys.LOSS] = terms["loss"] = loss.detach()
        self.fire_event(IterationEvents.LOSS_COMPLETED)
        require_finite(terms, self.state)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
        require_finite({"gradient": norm}, self.state)
        self.optimizer.step()
        return norm


def given_back(pred: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return predictions as losses and as adversaries are to see them, see `PairedGanTrainer`."""
    if "kept" not in batch:
        return pred, pred
    noisy, kept = batch["noisy"].to(pred), batch["kept"].to(pred).view(-1, *[1] * (pred.dim() - 1))
    return torch.lerp(pred, noisy, kept), torch.lerp(pred, noisy, kept.sqrt())


def fidelity(loss: nn.Module, pred: Tensor, label: Tensor, style: Tensor | None) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return the loss per sample and its named parts, of a `CompositeLoss` or of any other loss on HU images."""
    if isinstance(loss, CompositeLoss):
        return loss.breakdown(pred, label, style)
    return loss(pred, label), {}
