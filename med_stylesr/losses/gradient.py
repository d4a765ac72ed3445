"""Image gradients in two and three dimensions, shared by the edge loss and the gradient-domain discriminator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from med_stylesr.errors import UsageError
from med_stylesr.losses.window import WindowScale


class SpatialGradient(nn.Module):
    r"""Sobel gradient along every spatial axis, per unit of `spacing`.

    Along an axis: central difference \((f_{+1} - f_{-1}) / (2\,\Delta)\); across it: smoothing by (1, 2, 1)/4. A linear
    ramp of slope a per voxel gives exactly \(a / \Delta\) away from the border; borders are replicated.

    Args:
        spatial_dims: 2 or 3.
        spacing: voxel size per spatial axis in array order, in any one unit (relative sizes suffice).

    Raises:
        UsageError: if `spacing` does not name every axis or is not positive.

    Source: Sobel operator as in R. Duda, P. Hart, Pattern Classification and Scene Analysis, Wiley 1973, pp. 271-272.
    """

    kernel: Tensor

    def __init__(self, spatial_dims: int, spacing: Sequence[float]) -> None:
        super().__init__()
        if spatial_dims not in (2, 3) or len(spacing) != spatial_dims or min(spacing) <= 0:
            raise UsageError(
                "SpatialGradient",
                f"spacing {list(spacing)} does not fit {spatial_dims} dimensions",
                "give one per axis",
            )
        self.spatial_dims = spatial_dims
        kernels = []
        for axis in range(spatial_dims):
            kernel = torch.ones([1] * spatial_dims)
            for other in range(spatial_dims):
                taps = [-0.5 / spacing[axis], 0.0, 0.5 / spacing[axis]] if other == axis else [0.25, 0.5, 0.25]
                shape = [1] * spatial_dims
                shape[other] = 3
                kernel = kernel * torch.tensor(taps).reshape(shape)
            kernels.append(kernel)
        self.register_buffer("kernel", torch.stack(kernels)[:, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the gradient of shape (B, C, axes, …) of an image of shape (B, C, …)."""
        size = image.shape
        flat = image.reshape(size[0] * size[1], 1, *size[2:])
        flat = F.pad(flat, [1, 1] * self.spatial_dims, mode="replicate")
        convolve = F.conv2d if self.spatial_dims == 2 else F.conv3d
        slopes = convolve(flat, self.kernel.to(image.dtype))
        return slopes.reshape(size[0], size[1], self.spatial_dims, *size[2:])


class GradientMagnitude(nn.Module):
    r"""Gradient magnitude of a windowed image, \(\sqrt{|\nabla u|^2 + \epsilon^2}\): a discriminator's view of edges.

    Args:
        spatial_dims: 2 or 3.
        spacing: see `SpatialGradient`.
        center: centre of the HU window that is looked at.
        width: width of that window in HU.
        epsilon: rounding of the magnitude at zero, in half window widths per unit of spacing, > 0.
    """

    def __init__(
        self, spatial_dims: int, spacing: Sequence[float], center: float, width: float, epsilon: float
    ) -> None:
        super().__init__()
        self.window = WindowScale(center, width, "tanh")
        self.gradient = SpatialGradient(spatial_dims, spacing)
        self.epsilon = epsilon

    def forward(self, hu: Tensor) -> Tensor:
        """Return the magnitude, of the shape of `hu` (B, C, …)."""
        return (self.gradient(self.window(hu)).square().sum(2) + self.epsilon**2).sqrt()


class GaussianBlur(nn.Module):
    """Gaussian smoothing along every spatial axis, borders replicated, cut at three standard deviations.

    Args:
        spatial_dims: 2 or 3.
        sigma: standard deviation per axis in voxels; 0 leaves the axis alone.
    """

    def __init__(self, spatial_dims: int, sigma: Sequence[float]) -> None:
        super().__init__()
        if len(sigma) != spatial_dims or min(sigma) < 0:
            raise UsageError("GaussianBlur", f"sigma {list(sigma)} does not fit {spatial_dims} dimensions")
        self.spatial_dims = spatial_dims
        for axis, value in enumerate(sigma):
            radius = math.ceil(3 * value)
            weights = [math.exp(-0.5 * (k / value) ** 2) for k in range(-radius, radius + 1)] if value > 0 else [1.0]
            taps = torch.tensor([w / sum(weights) for w in weights], dtype=torch.float64)
            self.register_buffer(f"taps_{axis}", taps, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the smoothed image, same shape (B, C, …)."""
        size = image.shape
        out = image.reshape(size[0] * size[1], 1, *size[2:])
        convolve = F.conv2d if self.spatial_dims == 2 else F.conv3d
        for axis in range(self.spatial_dims):
            taps = self.get_buffer(f"taps_{axis}")
            if len(taps) == 1:
                continue
            padding = [0] * (2 * self.spatial_dims)
            from_last = 2 * (self.spatial_dims - 1 - axis)
            padding[from_last] = padding[from_last + 1] = len(taps) // 2
            shape = [1] * (self.spatial_dims + 2)
            shape[axis + 2] = len(taps)
            out = convolve(F.pad(out, padding, mode="replicate"), taps.to(out.dtype).reshape(shape))
        return out.reshape(size)
