"""Whether the sizes of a generator fit each other, told before a layer is made."""

from __future__ import annotations

from collections.abc import Sequence

from med_stylesr.networks.trunk import BlockCount


def check_sizes(
    spatial_dims: int,
    in_channels: int,
    features: Sequence[int],
    num_blocks: Sequence[BlockCount],
    scales: Sequence[Sequence[int]],
    styles: Sequence[str],
) -> None:
    """Refuse arguments of `StyleSRGenerator` that do not fit each other; see there.

    Raises:
        ValueError: saying which.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims is 2 or 3, not {spatial_dims}")
    if in_channels < 1 or in_channels % 2 == 0 or (spatial_dims == 3 and in_channels != 1):
        raise ValueError(f"in_channels is odd in 2D (slices of context) and 1 in 3D, not {in_channels}")
    if not features or len(features) != len(num_blocks):
        raise ValueError("features and num_blocks need one entry per level")
    if any(len(one) != spatial_dims or min(one) < 1 for one in scales):
        raise ValueError(f"every scale needs {spatial_dims} positive factors")
    if not styles or len(set(styles)) != len(styles):
        raise ValueError("styles need distinct names")
