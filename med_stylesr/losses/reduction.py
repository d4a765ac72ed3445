"""How every loss ends: one value per sample, so that a batch may mix styles that are weighted differently."""

from __future__ import annotations

from torch import Tensor


def per_sample(values: Tensor) -> Tensor:
    """Average over all axes but the first.

    Args:
        values: any tensor of shape (B, …).

    Returns:
        Tensor of shape (B,).
    """
    return values.flatten(1).mean(1) if values.dim() > 1 else values
