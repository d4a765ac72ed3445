"""Convolutions of 2D and 3D networks under one name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}


def in_plane(spatial_dims: int) -> list[int]:
    """Size of a 3x3 kernel that does not mix slices."""
    return [1] * (spatial_dims - 2) + [3, 3]


def convolution(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    groups: int = 1,
    gain: float = 1.0,
) -> nn.Module:
    """Zero-padded convolution with He initialisation ("same" size at stride 1).

    Plain residual nets learn nothing for thousands of steps from torch's default initialisation.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels in.
        out_channels: channels out.
        kernel: odd size, or one per axis (an even size gets no padding: a down-sampling convolution).
        stride: step, or one per axis.
        groups: groups of channels.
        gain: multiplies the initial weights; 0 makes a branch start silent.

    Source: He et al., ICCV 2015, doi:10.1109/ICCV.2015.123.
    """
    if spatial_dims not in _CONV:
        raise ValueError(f"spatial_dims is 2 or 3, not {spatial_dims}")
    sizes = [kernel] * spatial_dims if isinstance(kernel, int) else list(kernel)
    padding = tuple(k // 2 if k % 2 else 0 for k in sizes)
    steps = (stride,) * spatial_dims if isinstance(stride, int) else tuple(stride)
    conv = _CONV[spatial_dims](
        in_channels,
        out_channels,
        tuple(sizes),  # type: ignore[arg-type]
        stride=steps,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        groups=groups,
    )
    nn.init.kaiming_normal_(conv.weight, a=0.2, nonlinearity="leaky_relu")
    conv.weight.data.mul_(gain)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
