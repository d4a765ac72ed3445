"""Adversarial losses and the penalties that keep a discriminator's slope in bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from med_stylesr.errors import UsageError
from med_stylesr.losses.reduction import per_sample

KINDS = ("lsgan", "hinge", "relativistic", "wasserstein", "logistic")


class AdversarialLoss(nn.Module):
    r"""What discriminator and generator minimise, on raw scores (no activation on the discriminator's last layer).

    | kind | discriminator | generator |
    |---|---|---|
    | `lsgan` | \(\frac12 (D(r)-1)^2 + \frac12 D(f)^2\) | \(\frac12 (D(f)-1)^2\) |
    | `hinge` | \(\max(0, 1-D(r)) + \max(0, 1+D(f))\) | \(-D(f)\) |
    | `relativistic` | \(\frac12 s(\overline{D(f)}-D(r)) + \frac12 s(D(f)-\overline{D(r)})\) | r and f swapped |
    | `wasserstein` | \(D(f) - D(r)\) | \(-D(f)\) |
    | `logistic` | \(s(-D(r)) + s(D(f))\) | \(s(-D(f))\) |

    with s the softplus function and the bar the mean over the batch, weighted by `share` where it is given (samples
    that take no part must not move the mean that the others are held against). Several score maps (scales, a U-Net's
    bottleneck and output) count equally.

    Args:
        kind: one of the rows.

    Raises:
        UsageError: if the kind is unknown.

    Source: lsgan doi 10.1109/ICCV.2017.304 (a=0, b=c=1); hinge arXiv 1705.02894; relativistic average arXiv 1807.00734;
        wasserstein arXiv 1701.07875; logistic arXiv 1406.2661 (non-saturating).
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UsageError("AdversarialLoss", f"unknown kind {kind!r}", f"use one of {', '.join(KINDS)}")
        self.kind = kind

    def discriminator(self, real: Sequence[Tensor], fake: Sequence[Tensor], share: Tensor | None = None) -> Tensor:
        """Loss of the discriminator, shape (B,).

        Args:
            real: score maps (B, …) of real images.
            fake: score maps of generated images.
            share: weight >= 0 of every sample (B,), of mean 1, in the batch means of the relativistic kind.
        """
        return _mean_of([self._discriminator(r.float(), f.float(), share) for r, f in zip(real, fake, strict=True)])

    def generator(
        self, fake: Sequence[Tensor], real: Sequence[Tensor] | None = None, share: Tensor | None = None
    ) -> Tensor:
        """Loss of the generator, shape (B,).

        Args:
            fake: score maps (B, …) of generated images.
            real: score maps of real images, needed by the relativistic kind only.
            share: see `discriminator`.

        Raises:
            ValueError: if the relativistic kind gets no scores of real images.
        """
        if self.kind == "relativistic":
            if real is None:
                raise ValueError("the relativistic generator loss needs the scores of real images")
            return _mean_of([_relativistic(f.float(), r.float(), share) for f, r in zip(fake, real, strict=True)])
        return _mean_of([self._generator(f.float()) for f in fake])

    @property
    def needs_real(self) -> bool:
        """Whether the generator's loss wants the scores of real images too."""
        return self.kind == "relativistic"

    def _discriminator(self, real: Tensor, fake: Tensor, share: Tensor | None) -> Tensor:
        if self.kind == "lsgan":
            return 0.5 * (per_sample((real - 1).square()) + per_sample(fake.square()))
        if self.kind == "hinge":
            return per_sample(F.relu(1 - real)) + per_sample(F.relu(1 + fake))
        if self.kind == "relativistic":
            return _relativistic(real, fake, share)
        if self.kind == "wasserstein":
            return per_sample(fake) - per_sample(real)
        return per_sample(F.softplus(-real)) + per_sample(F.softplus(fake))

    def _generator(self, fake: Tensor) -> Tensor:
        if self.kind == "lsgan":
            return 0.5 * per_sample((fake - 1).square())
        if self.kind == "logistic":
            return per_sample(F.softplus(-fake))
        return -per_sample(fake)


class GradientPenalty(nn.Module):
    r"""WGAN-GP: \((\lVert \nabla_x D(x) \rVert_2 - 1)^2\) at a random point between a real and a generated image.

    Source: Gulrajani et al. 2017, arXiv 1704.00028, eq. 3.
    """

    def forward(self, score: Callable[[Tensor], Sequence[Tensor]], real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty of shape (B,); `score` is the discriminator on an already scaled image (B, C, …)."""
        mix = torch.rand(real.shape[0], *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
        point = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
        return (_slope(score, point).flatten(1).norm(dim=1) - 1).square()


class R1Penalty(nn.Module):
    r"""R1: \(\frac12 \lVert \nabla_x D(x) \rVert_2^2\) at real images.

    Source: Mescheder et al. 2018, arXiv 1801.04406, eq. 9.
    """

    def forward(self, score: Callable[[Tensor], Sequence[Tensor]], real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty of shape (B,); `fake` is not used, so that both penalties are called alike."""
        point = real.detach().requires_grad_(True)
        return 0.5 * _slope(score, point).flatten(1).square().sum(1)


def _slope(score: Callable[[Tensor], Sequence[Tensor]], point: Tensor) -> Tensor:
    # One score per image: the mean over its map, so that the penalty does not grow with the size of the map.
    total = torch.stack([per_sample(s.float()).sum() for s in score(point)]).mean()
    (slope,) = torch.autograd.grad(total, point, create_graph=True)
    return slope


def _relativistic(first: Tensor, second: Tensor, share: Tensor | None) -> Tensor:
    weight = 1.0 if share is None else share.reshape(-1, *[1] * (first.dim() - 1))
    mean_first, mean_second = ((weight * score).mean(0, keepdim=True) for score in (first, second))
    return 0.5 * (per_sample(F.softplus(mean_second - first)) + per_sample(F.softplus(second - mean_first)))


def _mean_of(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean(0)
