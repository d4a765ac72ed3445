"""Losses on features of an injected, frozen network: content (perceptual) and style (Gram)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from med_stylesr.errors import UsageError
from med_stylesr.losses.reduction import per_sample


class _FeatureLoss(nn.Module):
    """Holds a frozen extractor that maps HU images to a list of feature maps, and one weight per map."""

    def __init__(self, extractor: nn.Module, layer_weights: Sequence[float]) -> None:
        super().__init__()
        if not layer_weights or min(layer_weights) < 0:
            raise UsageError(type(self).__name__, f"layer weights {list(layer_weights)}", "give one >= 0 per layer")
        self.extractor = extractor.eval().requires_grad_(False)
        self.layer_weights = list(layer_weights)

    def train(self, mode: bool = True) -> _FeatureLoss:
        """Stay in evaluation mode: the extractor is a measuring device."""
        return super().train(False)

    def _features(self, pred: Tensor, target: Tensor) -> list[tuple[float, Tensor, Tensor]]:
        ours = self.extractor(pred)
        with torch.no_grad():
            theirs = self.extractor(target)
        if len(ours) != len(self.layer_weights):
            raise UsageError(
                type(self).__name__,
                f"{len(self.layer_weights)} layer weights for {len(ours)} feature maps",
                "give one per map",
            )
        return list(zip(self.layer_weights, ours, theirs, strict=True))


class PerceptualLoss(_FeatureLoss):
    r"""Mean absolute distance of features, \(\sum_l w_l\, \overline{|\phi_l(p) - \phi_l(t)|}\).

    Args:
        extractor: network from HU (B, 1, …) to feature maps, `shipped_encoder()` unless you have reasons; it is
            frozen.
        layer_weights: w_l, one per feature map.

    Source: Johnson et al. 2016, arXiv 1603.08155; features from CT itself as in SACNN, doi 10.1109/TMI.2020.2968472.
    """

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of shape (B,) for two HU images (B, 1, …)."""
        parts = [w * per_sample((ours - theirs).abs()) for w, ours, theirs in self._features(pred, target)]
        return torch.stack(parts).sum(0)


class GramStyleLoss(_FeatureLoss):
    r"""Mean absolute distance of Gram matrices \(G_l = F_l F_l^\top / n_l\), which do not see where anything is.

    Args:
        extractor: see `PerceptualLoss`.
        layer_weights: one per feature map.

    Source: Gatys et al. 2016, doi 10.1109/CVPR.2016.265.
    """

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of shape (B,) for two HU images (B, 1, …), which may show different patients."""
        parts = [w * per_sample((gram(a) - gram(b)).abs()) for w, a, b in self._features(pred, target)]
        return torch.stack(parts).sum(0)


def gram(features: Tensor) -> Tensor:
    """Gram matrix (B, C, C) of feature maps (B, C, …), divided by the number of positions."""
    flat = features.flatten(2)
    return torch.einsum("bcn,bdn->bcd", flat, flat) / flat.shape[-1]
