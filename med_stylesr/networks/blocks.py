"""Building blocks of the generator's trunk, all style-modulated and shape-preserving."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from med_stylesr.networks.adain import modulation
from med_stylesr.networks.convolution import convolution, in_plane


class ResidualBlock(nn.Module):
    """x + conv(act(style(conv(x)))): dense 3x3(x3) convolutions, which CPUs run near their peak.

    In 3D the second convolution stays in plane: half the reach through plane, hence half the halo of a slab.

    Args:
        spatial_dims: 2 or 3.
        features: channels in and out.
        style_dim: length of the style code.
        kind: modulation, "film" or "adain".
        gain: of the last convolution at first; see `convolution`.
    """

    def __init__(self, spatial_dims: int, features: int, style_dim: int, kind: str, gain: float = 0.1) -> None:
        super().__init__()
        self.first = convolution(spatial_dims, features, features, 3)
        self.style = modulation(kind, features, style_dim)
        self.act = nn.LeakyReLU(0.2)
        self.second = convolution(spatial_dims, features, features, in_plane(spatial_dims), gain=gain)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (B, C, …) and code (B, style_dim) to features of the same shape."""
        return x + self.second(self.act(self.style(self.first(x), style)))


class ResidualDenseBlock(nn.Module):
    """Residual dense block: every convolution sees all maps before it and adds half as many, a 1x1 one fuses them.

    Args:
        spatial_dims: 2 or 3.
        features: channels in and out.
        style_dim: length of the style code.
        kind: modulation, "film" or "adain".
        gain: of the last convolution at first; see `convolution`.

    Source: Zhang et al., CVPR 2018, doi:10.1109/CVPR.2018.00262, eq. 5 and 6.
    """

    def __init__(self, spatial_dims: int, features: int, style_dim: int, kind: str, gain: float = 0.1) -> None:
        super().__init__()
        growth = features // 2
        self.dense = nn.ModuleList(convolution(spatial_dims, features + i * growth, growth, 3) for i in range(3))
        self.style = modulation(kind, features + 3 * growth, style_dim)
        self.act = nn.LeakyReLU(0.2)
        self.fuse = convolution(spatial_dims, features + 3 * growth, features, 1, gain=gain)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (B, C, …) and code (B, style_dim) to features of the same shape."""
        maps = x
        for conv in self.dense:
            maps = torch.cat([maps, self.act(conv(maps))], dim=1)
        return x + self.fuse(self.style(maps, style))


class LightBlock(nn.Module):
    """Depthwise-separable residual block for devices with few multipliers (MobileNet's idea).

    On the reference CPU it is bound by memory, not faster per multiplication than `ResidualBlock`.

    Args:
        spatial_dims: 2 or 3.
        features: channels in and out.
        style_dim: length of the style code.
        kind: modulation, "film" or "adain".
        gain: of the last convolution at first; see `convolution`.

    Source: Howard et al. 2017, arXiv:1704.04861, section 3.1.
    """

    def __init__(self, spatial_dims: int, features: int, style_dim: int, kind: str, gain: float = 0.1) -> None:
        super().__init__()
        self.depthwise = convolution(spatial_dims, features, features, 3, groups=features)
        self.mix = convolution(spatial_dims, features, features, 1)
        self.style = modulation(kind, features, style_dim)
        self.act = nn.LeakyReLU(0.2)
        self.depthwise_out = convolution(spatial_dims, features, features, 3, groups=features)
        self.mix_out = convolution(spatial_dims, features, features, 1, gain=gain)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (B, C, …) and code (B, style_dim) to features of the same shape."""
        maps = self.act(self.style(self.mix(self.depthwise(x)), style))
        return x + self.mix_out(self.depthwise_out(maps))


class ChannelAttention(nn.Module):
    """Squeeze and excitation: weigh channels by their means. Global, so results depend on the tile.

    Args:
        features: channels.
        squeeze: channels of the bottleneck.

    Source: Hu et al., CVPR 2018, doi:10.1109/CVPR.2018.00745, eq. 2-4.
    """

    def __init__(self, features: int, squeeze: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Linear(features, squeeze), nn.ReLU(), nn.Linear(squeeze, features), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, …) to features of the same shape."""
        weights = self.weigh(x.flatten(2).mean(dim=2))
        return x * weights.reshape([x.shape[0], x.shape[1]] + [1] * (x.dim() - 2))


_BLOCKS: Final[dict[str, Callable[..., nn.Module]]] = {
    "residual": ResidualBlock,
    "dense": ResidualDenseBlock,
    "light": LightBlock,
}


class Stage(nn.Module):
    """Blocks in a row at one resolution, with an optional channel attention at the end.

    Args:
        block: "residual", "dense" or "light".
        count: how many blocks.
        spatial_dims: 2 or 3.
        features: channels in and out.
        style_dim: length of the style code.
        kind: modulation, "film" or "adain".
        attention: whether a `ChannelAttention` follows.

    Raises:
        ValueError: for an unknown block.
    """

    def __init__(
        self, block: str, count: int, spatial_dims: int, features: int, style_dim: int, kind: str, attention: bool
    ) -> None:
        super().__init__()
        if block not in _BLOCKS:
            raise ValueError(f"block is 'residual', 'dense' or 'light', not {block!r}")
        self._block = partial(_BLOCKS[block], spatial_dims, features, style_dim, kind)
        self.blocks = nn.ModuleList(self.another() for _ in range(count))
        self.attention = ChannelAttention(features, max(features // 8, 4)) if attention else nn.Identity()

    def another(self, gain: float = 0.1) -> nn.Module:
        """A block such as those of this stage, with weights of its own; with a gain of 0 it adds nothing yet."""
        return self._block(gain=gain)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (B, C, …) and code (B, style_dim) to features of the same shape."""
        for block in self.blocks:
            x = block(x, style)
        return self.attention(x)
