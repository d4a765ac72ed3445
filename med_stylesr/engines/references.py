"""Training the style encoder together with the generator: references in place of names of styles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from med_stylesr.engines.paired import Prepared, prepare_scaled_pair
from med_stylesr.errors import UsageError


class PrepareWithReferences:
    """As `prepare_scaled_pair`, but in a share of the batches the style is shown by a reference image, not named.

    A sample's reference is the normal-dose image of another sample of the same style (its own where there is none), so
    the style encoder learns to read from one image what noise texture and sharpness to give to another. Losses take
    such a batch for the first style of the bank: a target in the style `smooth` cannot be told from a normal-dose one.

    Args:
        share: probability, in [0, 1], that a batch is shown references.

    Raises:
        UsageError: if `share` is out of range.
    """

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            raise UsageError("PrepareWithReferences", f"share is {share}", "give a probability in [0, 1]")
        self.share = share

    def __call__(
        self, batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
    ) -> Prepared:
        """Prepare a batch with `image`, `label` and, for references to be shown, `style` as bank indices (B,).

        Args:
            batch: see `prepare_pair`.
            device: see `prepare_pair`.
            non_blocking: see `prepare_pair`.
            kwargs: see `prepare_pair`.
        """
        image, label, args, extra = prepare_scaled_pair(batch, device, non_blocking, **kwargs)
        style = extra.get("style")
        if style is None or style.dim() != 1 or float(torch.rand(())) >= self.share:
            return image, label, args, extra
        return image, label, args, {**extra, "style": label[partners(style)]}


def partners(style: Tensor) -> Tensor:
    """Index of another sample of the same style for every sample, (B,) int64; its own where it is the only one.

    >>> partners(torch.tensor([0, 1, 0, 0, 2])).tolist()
    [2, 1, 3, 0, 4]
    """
    chosen = torch.arange(len(style), device=style.device)
    for number in style.unique():
        members = torch.nonzero(style == number)[:, 0]
        chosen[members] = members.roll(-1)
    return chosen
