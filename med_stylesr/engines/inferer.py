"""Inferers for whole volumes: slice by slice with context (2.5D), and slab by slab with a halo (3D)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor


class SliceContextInferer(Inferer):
    """Runs a 2.5D network over a volume; missing neighbours of the first and last slices repeat the border slice.

    Args:
        context: number of slices the network sees (odd).
        batch: slices per call of the network.
    """

    def __init__(self, context: int, batch: int) -> None:
        self.context, self.batch = context, batch

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return (1, 1, slices, rows·s, columns·s) of a volume (1, 1, slices, rows, columns) in HU.

        A `style` for the one volume is used for all its slices.
        """
        volume = convert_to_tensor(inputs, track_meta=False)[0, 0]
        slices, reach = volume.shape[0], self.context // 2
        around = torch.arange(-reach, reach + 1, device=volume.device)
        style = kwargs.pop("style", None)
        parts = []
        for start in range(0, slices, self.batch):
            centers = torch.arange(start, min(start + self.batch, slices), device=volume.device)
            stack = volume[(centers[:, None] + around).clamp(0, slices - 1)]
            extra = {} if style is None else {"style": style.expand(len(centers), *style.shape[1:])}
            parts.append(network(stack, *args, **extra, **kwargs))
        return torch.cat(parts)[:, 0][None, None]


class SlabInferer(Inferer):
    """Runs a 3D network over overlapping slabs and keeps the inner part of each.

    Args:
        slab: slices kept per call.
        halo: further slices on either side that the network sees (its reach through plane).
    """

    def __init__(self, slab: int, halo: int) -> None:
        self.slab, self.halo = slab, halo

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Return (B, 1, slices·s, rows·s, columns·s) of a volume (B, 1, slices, rows, columns) in HU."""
        volume = convert_to_tensor(inputs, track_meta=False)
        slices = volume.shape[2]
        parts = []
        for start in range(0, slices, self.slab):
            stop = min(start + self.slab, slices)
            low, high = max(start - self.halo, 0), min(stop + self.halo, slices)
            pred = network(volume[:, :, low:high], *args, **kwargs)
            factor = pred.shape[2] // (high - low)
            parts.append(pred[:, :, (start - low) * factor : (stop - low) * factor])
        return torch.cat(parts, 2)
