"""Changing resolution: sub-pixel rearrangement per axis and the cubic interpolation that carries the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def channels_to_space(x: Tensor, factors: list[int]) -> Tensor:
    """Sub-pixel upsampling with a factor of its own per axis.

    Channel c·Πf + r becomes the voxel at offset r (row-major over the axes) of channel c: for equal factors in 2D this
    is torch's `pixel_shuffle`.

    Args:
        x: (B, C·Πf, *spatial).
        factors: one per spatial axis.

    Returns:
        (B, C, *(spatial · factors)).

    Source: Shi et al., CVPR 2016, doi:10.1109/CVPR.2016.207, eq. 4.
    """
    if len(factors) == 2:
        h, w = factors[0], factors[1]
        x = x.reshape(x.shape[0], -1, h, w, x.shape[2], x.shape[3]).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(x.shape[0], x.shape[1], x.shape[2] * h, x.shape[4] * w)
    d, h, w = factors[0], factors[1], factors[2]
    x = x.reshape(x.shape[0], -1, d, h, w, x.shape[2], x.shape[3], x.shape[4]).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * d, x.shape[4] * h, x.shape[6] * w)


def space_to_channels(x: Tensor, factors: list[int]) -> Tensor:
    """Inverse of `channels_to_space`; the spatial sizes must be multiples of the factors."""
    return last_axis_to_channels(space_to_last_axis(x, factors))


def space_to_last_axis(x: Tensor, factors: list[int]) -> Tensor:
    """`space_to_channels` with channels as the last axis: (B, C, *spatial) to (B, *(spatial / factors), C·Πf)."""
    if len(factors) == 2:
        h, w = factors[0], factors[1]
        x = x.reshape(x.shape[0], x.shape[1], x.shape[2] // h, h, x.shape[3] // w, w).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(x.shape[0], x.shape[1], x.shape[2], x.shape[3] * h * w)
    d, h, w = factors[0], factors[1], factors[2]
    x = x.reshape(x.shape[0], x.shape[1], x.shape[2] // d, d, x.shape[3] // h, h, x.shape[4] // w, w).permute(
        0, 2, 4, 6, 1, 3, 5, 7
    )
    return x.reshape(x.shape[0], x.shape[1], x.shape[2], x.shape[3], x.shape[4] * d * h * w)


def last_axis_to_channels(x: Tensor) -> Tensor:
    """(B, *spatial, C) to (B, C, *spatial), a view in the layout that torch calls channels last."""
    # Not movedim, which the ONNX exporter writes with an axis of -1 that OpenVINO refuses.
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x.permute(0, 4, 1, 2, 3)


class CubicUpsample(nn.Module):
    """Interpolation by an integer factor per axis that keeps the field of view (outer voxel edges stay).

    Output voxel m of an axis lies at input position (m + 1/2)/s − 1/2; cubic convolution with a = −1/2 (exact for
    quadratics) from four neighbours, edges replicated. Factor 1 is the identity, bit for bit.

    Args:
        scale: factor per spatial axis, two or three of them.

    Source: Keys, IEEE Trans. ASSP 29 (1981) 1153, doi:10.1109/TASSP.1981.1163711, eq. 15.
    """

    def __init__(self, scale: Sequence[int]) -> None:
        super().__init__()
        self.axes = nn.ModuleList(_CubicAxis(axis, int(s), len(scale)) for axis, s in enumerate(scale) if int(s) > 1)

    def forward(self, x: Tensor) -> Tensor:
        """Image (B, 1, *spatial) to (B, 1, *(spatial · scale))."""
        for axis in self.axes:
            x = axis(x)
        return x


class _CubicAxis(nn.Module):
    """Cubic interpolation along one axis as one convolution with a channel per output phase."""

    def __init__(self, axis: int, s: int, dims: int) -> None:
        super().__init__()
        taps = _polyphase_taps(s)
        kernel = [1] * dims
        kernel[axis] = taps.shape[1]
        self.taps = nn.Buffer(taps.reshape([s, 1, *kernel]), persistent=False)
        reach = taps.shape[1] // 2
        self.pad = [0] * (2 * dims)
        self.pad[2 * (dims - 1 - axis)] = self.pad[2 * (dims - 1 - axis) + 1] = reach
        self.factors = [s if a == axis else 1 for a in range(dims)]
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, self.pad, mode="replicate")
        taps = self.taps.to(x.dtype)
        phases = functional.conv2d(padded, taps) if self.dims == 2 else functional.conv3d(padded, taps)
        return channels_to_space(phases, self.factors)


def _polyphase_taps(s: int) -> Tensor:
    """Cubic-convolution weights (s, 5): one row per output phase, columns are input offsets −2 … 2."""
    phase = (torch.arange(s, dtype=torch.float64) + 0.5) / s - 0.5
    distance = (torch.arange(-2, 3, dtype=torch.float64)[None] - phase[:, None]).abs()
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))
    return taps.to(torch.float32)


def nearest_upsample(x: Tensor, scale: list[int]) -> Tensor:
    """Repeat every voxel `scale` times per axis: for masks and values that must not be mixed."""
    if max(scale) == 1:
        return x
    # Keeps the layout in memory, which repeating along the axes does not.
    return functional.interpolate(x, scale_factor=[float(s) for s in scale], mode="nearest")
