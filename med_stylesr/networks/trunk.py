"""The trunk of the generator: a U of style-modulated residual stages on half-resolution features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn

from med_stylesr.networks.blocks import Stage
from med_stylesr.networks.convolution import convolution, in_plane
from med_stylesr.networks.upsample import nearest_upsample

BlockCount: TypeAlias = int | Sequence[int]
"""Blocks of a level on either way, or a pair (down, up)."""


def each_way(count: BlockCount) -> tuple[int, int]:
    """Blocks on the way down and on the way up; the last level has only the first."""
    if isinstance(count, int):
        return count, count
    down, up = count
    return down, up


class StyledTrunk(nn.Module):
    """Views of an image, rearranged to half resolution in plane, to features of that resolution.

    A base class, not a part of the generator, so that the names in checkpoints have one level.

    Args:
        spatial_dims: 2 or 3.
        channels: channels of the rearranged views.
        features: channels per level; each level halves the resolution in plane of the one before.
        num_blocks: blocks per level; levels but the last have as many on the way down as on the way up, unless a pair
            (down, up) says otherwise.
        style_dim: length of a style code.
        block: "residual", "dense" or "light".
        modulation: "film" or "adain".
        attention: channel attention after each stage.
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        features: Sequence[int],
        num_blocks: Sequence[BlockCount],
        style_dim: int,
        block: str,
        modulation: str,
        attention: bool,
    ) -> None:
        super().__init__()
        self.unshuffle = [1] * (spatial_dims - 2) + [2, 2]
        self.head = convolution(spatial_dims, channels, features[0], 3)
        self.down_stages = nn.ModuleList()
        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        self.up_stages = nn.ModuleList()

        def stage(level: int, way: int) -> Stage:
            count = each_way(num_blocks[level])[way]
            return Stage(block, count, spatial_dims, features[level], style_dim, modulation, attention)

        for level in range(len(features) - 1):
            self.down_stages.append(stage(level, 0))
            self.downs.append(
                convolution(spatial_dims, features[level], features[level + 1], self.unshuffle, stride=self.unshuffle)
            )
        self.bottom = stage(len(features) - 1, 0)
        for level in reversed(range(len(features) - 1)):
            self.ups.append(convolution(spatial_dims, features[level + 1], features[level], in_plane(spatial_dims)))
            self.up_stages.append(stage(level, 1))

    def trunk(self, views: Tensor, code: Tensor) -> Tensor:
        """Features (B, features[0], …, H/2, W/2) of views of an image, rearranged to half resolution in plane.

        Args:
            views: (B, channels, …, H/2, W/2).
            code: style codes (B, style_dim).
        """
        x = self.head(views)
        skips: list[Tensor] = []
        for down_stage, down in zip(self.down_stages, self.downs, strict=True):
            x = down_stage(x, code)
            skips.append(x)
            x = down(x)
        x = self.bottom(x, code)
        for up, up_stage in zip(self.ups, self.up_stages, strict=True):
            x = up_stage(nearest_upsample(up(x), self.unshuffle) + skips.pop(), code)
        return x
