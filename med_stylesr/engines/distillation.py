"""Training a small network on what a large one makes of the same scans, instead of on the scans themselves.

A label of normal dose holds noise that no network can foretell, and a small network sees little of what it could learn
through it. A large network's result holds next to none.

Source: Hinton, Vinyals, Dean 2015, arXiv 1503.02531 (there for classes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from med_stylesr.engines.paired import Prepared, prepare_scaled_pair


class Distillation:
    """A trainer's `prepare_batch` whose labels are a teacher's results, see `prepare_scaled_pair` for the rest.

    Where the batch has `noisy` and `kept`, the trainer gives the student's result its share of the noise back
    (`PairedGanTrainer`); the teacher's gets the same.

    Args:
        teacher: HU in, HU out, called as the student is; it is put into evaluation mode and not trained.
        amp: run it under bfloat16 autocast.
    """

    def __init__(self, teacher: nn.Module, amp: bool) -> None:
        self.teacher, self.amp = teacher.eval().requires_grad_(False), amp

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
    ) -> Prepared:
        """Return the image, the teacher's result, no positional and the keyword arguments of the network."""
        image, _, args, extra = prepare_scaled_pair(batch, device, non_blocking, **kwargs)
        with torch.no_grad(), torch.autocast(image.device.type, torch.bfloat16, enabled=self.amp):
            label = self.teacher(image, *args, **extra).float()
        if "kept" in batch:
            kept = torch.as_tensor(batch["kept"]).to(label).reshape(-1, *[1] * (label.dim() - 1))
            label = torch.lerp(label, torch.as_tensor(batch["noisy"]).to(label), kept)
        return image, label, args, extra
