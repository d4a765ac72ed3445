"""Progressive growing: one run that learns ×2 first, then ×4, then ×8, each head starting from the one before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import Tensor, nn

from med_stylesr.engines.checkpoint import BestWeights
from med_stylesr.engines.distributed import unwrap
from med_stylesr.engines.paired import Prepared, prepare_pair
from med_stylesr.errors import UsageError
from med_stylesr.networks.growth import grow_head


class ScaleGrowth:
    """Switches the head that is trained from stage to stage and starts every new head from the one before it.

    The generator has the heads of all stages from the start; those of later stages get no gradient and no weight decay
    until their stage begins. At the first epoch of a stage its head takes over the weights of the stage before
    (`grow_head`), in the network and in its moving average; the trunk goes on as it is. The stage follows from the
    epoch's number alone, so a resumed run needs no state of it.

    The data have the scale of the last stage throughout: labels are averaged to the grid of the stage's head, which is
    how a scanner with larger voxels would have seen them.

    Args:
        networks: the generator and its moving average, wrapped for distributed training or not.
        scales: head of every stage, one factor per spatial axis; each a multiple of the one before.
        epochs: number of epochs of every stage, > 0; the last stage goes on for as long as the run does.
        best: the keeper of the best weights, which starts afresh in every stage (figures on different grids do not
            compare), or None.

    Raises:
        UsageError: if stages and epochs do not fit each other, or the generator lacks a head.

    Source: progressive growing, Karras et al. 2018, arXiv 1710.10196; of super-resolution, Wang et al. 2018,
        doi 10.1109/CVPRW.2018.00131.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        scales: Sequence[Sequence[int]],
        epochs: Sequence[int],
        best: BestWeights | None,
    ) -> None:
        if not scales or len(scales) != len(epochs) or min(epochs) < 1:
            raise UsageError("ScaleGrowth", f"{len(scales)} scales and epochs {list(epochs)}", "give epochs per scale")
        for small, large in itertools.pairwise(scales):
            if len(small) != len(large) or any(b % a for a, b in zip(small, large, strict=True)):
                raise UsageError(
                    "ScaleGrowth", f"scale {list(large)} does not grow from {list(small)}", "use whole multiples"
                )
        for network in networks:
            missing = [list(scale) for scale in scales if list(scale) not in unwrap(network).scales]
            if missing:
                raise UsageError("ScaleGrowth", f"the network has no head of scale {missing[0]}", "set extra_scales")
        self.networks, self.scales, self.best = list(networks), [list(scale) for scale in scales], best
        self.starts = [1 + sum(epochs[:stage]) for stage in range(len(epochs))]
        # Outside training (evaluation of a finished run) the last head is meant.
        self.stage = len(self.scales) - 1

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Choose the stage of the epoch, and grow its head if it begins."""
        epoch = engine.state.epoch
        self.stage = sum(start <= epoch for start in self.starts) - 1
        if self.stage and self.starts[self.stage] == epoch:
            for network in self.networks:
                grow_head(unwrap(network), self.scales[self.stage - 1], self.scales[self.stage])
            if self.best is not None:
                self.best.forget()
        engine.state.metrics["voxels_per_voxel"] = math.prod(self.scales[self.stage])

    def prepare_batch(
        self, batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
    ) -> Prepared:
        """As `prepare_pair`, with the label averaged to the grid of the stage's head, which is asked for by `scale`.

        Args:
            batch: see `prepare_pair`; the label has the scale of the last stage.
            device: see `prepare_pair`.
            non_blocking: see `prepare_pair`.
            kwargs: see `prepare_pair`.
        """
        image, label, args, extra = prepare_pair(batch, device, non_blocking, **kwargs)
        scale = self.scales[self.stage]
        return image, self._averaged(label), args, {**extra, "scale": scale}

    def _averaged(self, label: Tensor) -> Tensor:
        ratio = [last // now for last, now in zip(self.scales[-1], self.scales[self.stage], strict=True)]
        # In 2.5D a whole volume is validated: slices stand before the axes that the network knows.
        ratio = [1] * (label.dim() - 2 - len(ratio)) + ratio
        pool = F.avg_pool2d if len(ratio) == 2 else F.avg_pool3d
        return pool(label, ratio)
