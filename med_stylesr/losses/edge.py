"""The edge-preserving loss: gradients must agree where the clean target has edges, in size and in direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from med_stylesr.errors import UsageError
from med_stylesr.losses.gradient import GaussianBlur, SpatialGradient
from med_stylesr.losses.window import WindowScale

# Median of |g| for a gradient of independent normal components of unit variance: Rayleigh (2D), Maxwell (3D).
_MEDIAN_MAGNITUDE = {2: math.sqrt(2 * math.log(2)), 3: 1.5382}
# |u| at the edges of a window, where the tanh has lost 42 % of its slope; beyond them it flattens noise away.
_INSIDE = math.tanh(1.0)


class EdgePreservingLoss(nn.Module):
    r"""Edge-weighted distance of gradient magnitude and direction, over HU windows and scales.

    With \(u = \tanh((x - c)/(w/2))\) for a window (c, w), \(g_p = \nabla u(\mathrm{pred})\) and
    \(g_t = \nabla u(\mathrm{target})\), \(n(g) = \sqrt{|g|^2 + \epsilon^2}\), the loss at a voxel is

    $$ e = \sqrt{(n(g_p) - n(g_t))^2 + \epsilon^2} - \epsilon
           + \lambda\, n(g_t) \left(1 - \frac{g_p \cdot g_t + \epsilon^2}{n(g_p)\, n(g_t)}\right) $$

    (a Charbonnier distance of magnitudes, and one minus the cosine between the gradients lifted by \(\epsilon\):
    defined for zero gradients, never negative, and weighted by the edge's height so that it has the same unit).
    The voxels are averaged with the weight

    $$ a = f + (1 - f)\, \frac{m^2}{m^2 + \tau^2}, \qquad m = |\nabla u(G_\sigma * \mathrm{clean})|, \qquad
       \tau = \max(\kappa \hat s, \tau_0) $$

    where \(\hat s\), the noise of m, is its median over the voxels inside the window (air would drag it to zero),
    divided by the median of a Rayleigh (2D) or Maxwell (3D) variable: edges fill a small part of an image and do not
    move the median. Noise of the target is therefore not copied: in flat regions a is close to f. The loss is zero for
    equal images, has no kinks, and is averaged over windows and scales. Each scale averages voxels by `pool` and
    measures lengths in units that grow by the largest of these factors. docs/reference/edge-loss.md derives and tests
    it.

    Args:
        spatial_dims: 2 or 3.
        windows: (center, width) pairs in HU, for example soft tissue, lung and bone.
        spacing: voxel size per axis in array order (relative sizes suffice).
        scales: number of scales >= 1; the first is full resolution.
        pool: averaging per axis from one scale to the next.
        clean_sigma: standard deviation per axis, in voxels, of the smoothing that cleans the target for the weights.
        noise_factor: kappa, how many noise levels an edge must rise above to count half.
        floor_hu: tau_0 in HU per unit of spacing: the weakest edge that counts half on a noiseless target.
        flat_weight: f in [0, 1], weight of regions without edges (there it discourages invented edges).
        direction_weight: lambda >= 0, the direction term's share.
        epsilon_hu: epsilon in HU per unit of spacing, > 0: differences below it count quadratically.

    Raises:
        UsageError: if an argument is out of its range.

    Source: this project; magnitude term on Sobel maps as in DU-GAN (doi 10.1109/TIM.2021.3128703, eq. 9), Charbonnier
        distance as in doi 10.1109/ICIP.1994.413553.
    """

    def __init__(
        self,
        spatial_dims: int,
        windows: Sequence[Sequence[float]],
        spacing: Sequence[float],
        scales: int,
        pool: Sequence[int],
        clean_sigma: Sequence[float],
        noise_factor: float,
        floor_hu: float,
        flat_weight: float,
        direction_weight: float,
        epsilon_hu: float,
    ) -> None:
        super().__init__()
        if scales < 1 or not windows or len(pool) != spatial_dims:
            raise UsageError("EdgePreservingLoss", "needs at least one window, one scale and one pool size per axis")
        if not 0 <= flat_weight <= 1 or direction_weight < 0 or min(epsilon_hu, floor_hu) <= 0:
            raise UsageError(
                "EdgePreservingLoss", "flat_weight must lie in [0, 1], epsilon_hu and floor_hu above 0, direction >= 0"
            )
        self.windows = [WindowScale(center, width, "tanh") for center, width in windows]
        self.gradients = nn.ModuleList(
            SpatialGradient(spatial_dims, [d * (p / max(pool)) ** k for d, p in zip(spacing, pool, strict=False)])
            for k in range(scales)
        )
        self.blur = GaussianBlur(spatial_dims, clean_sigma)
        self.spatial_dims, self.scales, self.pool = spatial_dims, scales, list(pool)
        self.noise_factor, self.floor_hu, self.epsilon_hu = noise_factor, floor_hu, epsilon_hu
        self.flat_weight, self.direction_weight = flat_weight, direction_weight

    def forward(self, pred: Tensor, target: Tensor, clean: Tensor | None = None) -> Tensor:
        """Compare two images.

        Args:
            pred: the network's output (B, C, H, W) or (B, C, D, H, W) in HU.
            target: the normal-dose image, same shape, HU.
            clean: a cleaner version of the target that the weights are taken from; None: the target itself, smoothed.

        Returns:
            One value per sample, shape (B,), in half window widths per unit of spacing.

        Raises:
            ValueError: if the shapes differ.
        """
        if pred.shape != target.shape:
            raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape")
        guide = self.blur(target if clean is None else clean).detach()
        total = pred.new_zeros(pred.shape[0])
        for scale in range(self.scales):
            if scale:
                pred, target, guide = (self._shrink(image) for image in (pred, target, guide))
            for window in self.windows:
                total = total + self._compare(window(pred), window(target), window(guide), window.half_width, scale)
        return total / (self.scales * len(self.windows))

    def edge_weight(self, guide: Tensor, half_width: float, scale: int = 0) -> Tensor:
        """Return the weight a in [flat_weight, 1], shape (B, C, …).

        Args:
            guide: cleaned target (B, C, …) through a window, in (-1, 1).
            half_width: half of the window's width in HU.
            scale: number of the scale that the guide is on, from 0.
        """
        with torch.no_grad():
            magnitude = self.gradients[scale](guide).square().sum(2).sqrt()
            inside = magnitude.masked_fill(guide.abs() > _INSIDE, torch.nan).flatten(1)
            # Nothing inside the window: nothing whose noise could be taken for an edge.
            noise = inside.nanmedian(1).values.nan_to_num(0.0) / _MEDIAN_MAGNITUDE[self.spatial_dims]
            threshold = (self.noise_factor * noise).clamp_min(self.floor_hu / half_width)
            square = magnitude.square()
            edge = square / (square + threshold.square().reshape(-1, *[1] * (guide.dim() - 1)))
            return self.flat_weight + (1 - self.flat_weight) * edge

    def _compare(self, pred: Tensor, target: Tensor, guide: Tensor, half_width: float, scale: int) -> Tensor:
        weight = self.edge_weight(guide, half_width, scale)
        epsilon = self.epsilon_hu / half_width
        slope_pred, slope_target = self.gradients[scale](pred), self.gradients[scale](target)
        size_pred = (slope_pred.square().sum(2) + epsilon**2).sqrt()
        size_target = (slope_target.square().sum(2) + epsilon**2).sqrt()
        magnitude = ((size_pred - size_target).square() + epsilon**2).sqrt() - epsilon
        # n(g_t) (1 - cos) = n(g_t) - (g_p . g_t + eps^2) / n(g_p), without the division by n(g_t)
        direction = size_target - ((slope_pred * slope_target).sum(2) + epsilon**2) / size_pred
        error = magnitude + self.direction_weight * direction
        # 1 % of the voxels' number in the denominator: a patch without edges must not divide by nothing
        share = weight.flatten(1).sum(1) + 0.01 * weight[0].numel()
        return (weight * error).flatten(1).sum(1) / share

    def _shrink(self, image: Tensor) -> Tensor:
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        return pool(image, self.pool, ceil_mode=True, count_include_pad=False)
