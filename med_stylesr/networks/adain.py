"""Style injection: AdaIN, the conditional scale and shift used by default, and the encoder of style codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from med_stylesr.hu import Window
from med_stylesr.networks.convolution import convolution


def adain(content: Tensor, style_mean: Tensor, style_std: Tensor, eps: float) -> Tensor:
    """Adaptive instance normalisation: give every channel of `content` the mean and deviation of a style.

    AdaIN(x) = σ_style · (x − µ(x)) / σ(x) + µ_style, statistics over the spatial axes of each sample.

    Args:
        content: features (B, C, H, W[, D]).
        style_mean: (B, C).
        style_std: (B, C).
        eps: added to the variance of `content`, in the square of its unit.

    Returns:
        Tensor of the shape of `content`.

    Source: Huang & Belongie, ICCV 2017, doi:10.1109/ICCV.2017.167, eq. 8.
    """
    shape = [style_mean.shape[0], style_mean.shape[1]] + [1] * (content.dim() - 2)
    flat = content.flatten(2)
    mean = flat.mean(dim=2).reshape(shape)
    variance = flat.var(dim=2, unbiased=False).reshape(shape)
    normal = (content - mean) * torch.rsqrt(variance + eps)
    return normal * style_std.reshape(shape) + style_mean.reshape(shape)


class AdaIN(nn.Module):
    """AdaIN whose target statistics are a linear function of a style code.

    Its statistics are global, so a tile and the whole slice give different results: use it where images have one
    size. The default of the generator is `FiLM`, which is local.

    Args:
        features: channels of the content.
        style_dim: length of the style code.
        eps: see `adain`.
    """

    def __init__(self, features: int, style_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.affine = _neutral_affine(features, style_dim)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Content (B, C, …) and code (B, style_dim) to content of that style."""
        scale, shift = self.affine(style).chunk(2, dim=1)
        return adain(content, shift, 1 + scale, self.eps)


class FiLM(nn.Module):
    """Conditional scale and shift of each channel, linear in a style code; identity before training.

    y = (1 + γ(s)) · x + β(s). Unlike AdaIN it removes no statistics, so that the result at a voxel depends on its
    neighbourhood only: a slice enhanced whole and in tiles is the same, and HU are not coupled across the image.

    Args:
        features: channels of the content.
        style_dim: length of the style code.

    Source: Perez et al., AAAI 2018, doi:10.1609/aaai.v32i1.11671, eq. 2.
    """

    def __init__(self, features: int, style_dim: int) -> None:
        super().__init__()
        self.affine = _neutral_affine(features, style_dim)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Content (B, C, …) and code (B, style_dim) to modulated content."""
        scale, shift = self.affine(style).chunk(2, dim=1)
        shape = [scale.shape[0], scale.shape[1]] + [1] * (content.dim() - 2)
        return content * (1 + scale.reshape(shape)) + shift.reshape(shape)


class StyleEncoder(nn.Module):
    """Style code of a reference scan: what its noise texture and sharpness are, not what it shows.

    Convolutions on the windowed image, then mean and deviation of every feature map over space (the statistics AdaIN
    works with), then a linear map. Slices of a volume are encoded one by one and averaged.

    Args:
        features: channels of the convolutions.
        style_dim: length of the code.
        window: HU window the reference is clipped to; texture is judged in soft tissue.
    """

    def __init__(self, features: int, style_dim: int, window: Window) -> None:
        super().__init__()
        self.low = float(window.low)
        self.width = float(window.width)
        self.body = nn.Sequential(
            convolution(2, 1, features, 3),
            nn.LeakyReLU(0.2),
            convolution(2, features, features, 3, stride=2),
            nn.LeakyReLU(0.2),
            convolution(2, features, features, 3, stride=2),
            nn.LeakyReLU(0.2),
        )
        self.code = nn.Linear(2 * features, style_dim)

    def forward(self, reference: Tensor) -> Tensor:
        """Reference HU (B, 1, H, W) or (B, 1, D, H, W) to codes (B, style_dim)."""
        batch = reference.shape[0]
        slices = reference.reshape(-1, 1, reference.shape[-2], reference.shape[-1])
        unit = ((slices - self.low) / self.width).clamp(0.0, 1.0)
        maps = self.body(unit)
        deviation = maps.var(dim=[2, 3], unbiased=False).add(1e-6).sqrt()
        codes = self.code(torch.cat([maps.mean(dim=[2, 3]), deviation], dim=1))
        return codes.reshape(batch, -1, codes.shape[1]).mean(dim=1)


def modulation(kind: str, features: int, style_dim: int) -> nn.Module:
    """The modulation layer of a given kind: "film" or "adain".

    Raises:
        ValueError: for any other kind.
    """
    if kind == "film":
        return FiLM(features, style_dim)
    if kind == "adain":
        return AdaIN(features, style_dim)
    raise ValueError(f"modulation is 'film' or 'adain', not {kind!r}")


def _neutral_affine(features: int, style_dim: int) -> nn.Linear:
    """Linear map of a code to scale and shift that starts at no change."""
    affine = nn.Linear(style_dim, 2 * features)
    nn.init.zeros_(affine.weight)
    nn.init.zeros_(affine.bias)
    return affine
