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

    def stages(self) -> list[tuple[str, Stage]]:
        """Name and module of every stage, in the order in which they run."""
        names = [f"down_stages.{i}" for i in range(len(self.down_stages))]
        names += ["bottom", *(f"up_stages.{i}" for i in range(len(self.up_stages)))]
        found = [(name, self.get_submodule(name)) for name in names]
        return [(name, stage) for name, stage in found if isinstance(stage, Stage)]

    def stages_for(self, num_blocks: Sequence[BlockCount]) -> list[tuple[str, Stage, int]]:
        """`stages`, each with the number of blocks that a configuration gives it.

        Args:
            num_blocks: blocks per level, as in that configuration.

        Raises:
            ValueError: if it does not fit the levels.
        """
        levels = len(self.downs) + 1
        if len(num_blocks) != levels:
            raise ValueError(f"num_blocks needs {levels} entries, one per level, not {len(num_blocks)}")
        down, up = zip(*map(each_way, num_blocks), strict=True)
        counts = [*down, *reversed(up[:-1])]
        return [(name, stage, count) for (name, stage), count in zip(self.stages(), counts, strict=True)]

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
