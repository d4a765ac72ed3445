"""Losses on the values themselves: L1, squared, Charbonnier, and total variation, all per sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from med_stylesr.errors import UsageError
from med_stylesr.losses.reduction import per_sample


class PixelLoss(nn.Module):
    r"""Mean distance of voxel values in units of `scale_hu`.

    With \(d = (p - t)/s\): `"l1"` \(|d|\), `"mse"` \(d^2\), `"charbonnier"` \(\sqrt{d^2 + \epsilon^2} - \epsilon\).

    Args:
        kind: `"l1"`, `"mse"` or `"charbonnier"`.
        scale_hu: the difference in HU that counts as one, > 0.
        epsilon_hu: differences below it count quadratically (Charbonnier only), > 0.

    Raises:
        UsageError: if the kind is unknown or a size is not positive.

    Source: Charbonnier et al. 1994, doi 10.1109/ICIP.1994.413553.
    """

    def __init__(self, kind: str, scale_hu: float, epsilon_hu: float = 1.0) -> None:
        super().__init__()
        if kind not in ("l1", "mse", "charbonnier"):
            raise UsageError("PixelLoss", f"unknown kind {kind!r}", "use l1, mse or charbonnier")
        if min(scale_hu, epsilon_hu) <= 0:
            raise UsageError("PixelLoss", "scale_hu and epsilon_hu must be positive")
        self.kind, self.scale_hu, self.epsilon = kind, scale_hu, epsilon_hu / scale_hu

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of shape (B,) for two HU images of one shape (B, C, …)."""
        difference = (pred - target) / self.scale_hu
        if self.kind == "l1":
            return per_sample(difference.abs())
        if self.kind == "mse":
            return per_sample(difference.square())
        return per_sample((difference.square() + self.epsilon**2).sqrt() - self.epsilon)


class TotalVariationLoss(nn.Module):
    r"""Mean absolute difference of neighbouring voxels of the prediction, \(\sum_a \overline{|\Delta_a p|} / s\).

    Args:
        scale_hu: the difference in HU that counts as one, > 0.

    Source: Rudin, Osher, Fatemi 1992, doi 10.1016/0167-2789(92)90242-F (anisotropic form).
    """

    def __init__(self, scale_hu: float) -> None:
        super().__init__()
        self.scale_hu = scale_hu

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of shape (B,); `target` is not used, so that all terms are called alike."""
        steps = [per_sample(pred.diff(dim=axis).abs()) for axis in range(2, pred.dim())]
        return torch.stack(steps).sum(0) / self.scale_hu
