"""The HU lock: a generator's correction may not move the local mean of any tissue.

A correction r(p) is a sum of what is wanted (noise and blur taken away) and of what is not (a shift of lung by −2 HU).
The lock takes the second away by construction, not by a loss: with soft memberships m_k(p) of every voxel in a few HU
levels (hats that sum to one, judged on the smoothed corrected image so that noise does not pick them), it subtracts

    S r (p) = Σ_k m_k(p) · b_k(p),      b_k = blur(m_k · r) / (blur(m_k) + ε · blur(1)),

the local mean of r among voxels of the same level: the low-pass of a bilateral grid (Chen, Paris & Durand, ACM Trans.
Graph. 26 (2007) 103, doi:10.1145/1276377.1276506). Two passes leave r with a local mean of almost zero in every tissue
at scales above a few centimetres, while finer structure is untouched. Its reach is bounded, so tiles with a halo agree
with whole slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from med_stylesr.networks.upsample import nearest_upsample


class HULock(nn.Module):
    """Removes the local mean per tissue level from a correction, in every slice by itself.

    Args:
        levels_hu: increasing HU at which the hat memberships peak; voxels beyond the ends belong to the end levels.
        cell: size of a grid cell in voxels of the half-resolution plane.
        smoothing: odd width, in voxels of the half-resolution plane, of the box that smooths the guide, applied twice.
            Noise that decides on the level of a voxel would tie the correction of one tissue to that of another.
        floor: ε: share of a cell below which a tissue counts as too small to have a mean of its own (keeps the few
            voxels of a vessel from being locked to their own noise).
        passes: how often the projection is applied.

    Raises:
        ValueError: if the levels do not increase or the smoothing is even.
    """

    def __init__(self, levels_hu: Sequence[float], cell: int, smoothing: int, floor: float, passes: int) -> None:
        super().__init__()
        if len(levels_hu) < 2 or any(b <= a for a, b in itertools.pairwise(levels_hu)):
            raise ValueError("levels_hu must be at least two increasing values")
        self.steps = [(float(low), float(high)) for low, high in itertools.pairwise(levels_hu)]
        if smoothing < 1 or smoothing % 2 == 0:
            raise ValueError(f"smoothing is an odd width, not {smoothing}")
        self.cell = cell
        self.smoothing = smoothing
        self.floor = floor
        self.passes = passes
        # Slices; the levels of a whole slab at once would take more memory than the network.
        self.at_a_time = 8

    def memberships(self, guide: Tensor) -> Tensor:
        """Hat functions of the guide: (N, 1, H, W) HU to (N, levels, H, W), non-negative, summing to one."""
        # Ramps between levels, whose differences are hats. Plane by plane: broadcasting takes ten times as long.
        ramps = [((guide - low) * (1 / (high - low))).clamp(0.0, 1.0) for low, high in self.steps]
        hats = [1 - ramps[0]]
        for i in range(len(ramps) - 1):
            hats.append(ramps[i] - ramps[i + 1])
        hats.append(ramps[-1])
        return torch.cat(hats, dim=1)

    def forward(self, correction: Tensor, guide: Tensor, inside: Tensor, ratio: list[int]) -> Tensor:
        """Lock a correction.

        Args:
            correction: HU to be added to the image, (B, 1, H, W) or (B, 1, D, H, W).
            guide: the corrected image in HU, same shape; no gradient flows through it.
            inside: 1 where the correction may act and 0 where the input passes through, same shape. Means are taken
                over the former, so that clipping the correction there (noise of air below HU_MIN) moves no mean.
            ratio: voxels of `correction` per half-resolution voxel along rows and columns; H and W are multiples.

        Returns:
            Tensor of the shape of `correction`.
        """
        plane = [-1, 1, correction.shape[-2], correction.shape[-1]]
        corrections, guides = correction.reshape(plane), guide.detach().reshape(plane)
        weights = inside.reshape(plane)
        locked: list[Tensor] = []
        for i in range(0, corrections.shape[0], self.at_a_time):
            j = i + self.at_a_time
            locked.append(self._planes(corrections[i:j], guides[i:j], weights[i:j], ratio))
        return torch.cat(locked).reshape(correction.shape)

    def _planes(self, correction: Tensor, guide: Tensor, weight: Tensor, ratio: list[int]) -> Tensor:
        """`forward` for a few slices, (N, 1, H, W)."""
        flat = correction * weight
        coarse, covered = _block_means(flat, ratio), _block_means(weight, ratio)
        guide = self._smooth(_block_means(guide, ratio))
        rows, columns = guide.shape[2], guide.shape[3]
        # To whole cells; what lies beyond the image weighs nothing.
        member, reach = self.memberships(self._whole_cells(guide)), self._whole_cells(torch.ones_like(coarse))
        coarse, covered = self._whole_cells(coarse), self._whole_cells(covered)
        weights = self._cells(member * covered) + self.floor * self._cells(reach)
        shift = torch.zeros_like(coarse)
        for _ in range(self.passes):
            mean = self._cells(member * (coarse - shift * covered)) / weights
            full = functional.interpolate(mean, scale_factor=float(self.cell), mode="bilinear", align_corners=False)
            shift = shift + (member * full).sum(dim=1, keepdim=True)
        return flat - _smooth_upsample(shift[:, :, :rows, :columns], ratio) * weight

    def _smooth(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = _box(_box(x, 2, self.smoothing), 3, self.smoothing)
        return x

    def _whole_cells(self, x: Tensor) -> Tensor:
        """Padded by zeros to a multiple of the cell."""
        extra = [(self.cell - x.shape[3] % self.cell) % self.cell, (self.cell - x.shape[2] % self.cell) % self.cell]
        return functional.pad(x, [0, extra[0], 0, extra[1]])

    def _cells(self, x: Tensor) -> Tensor:
        """Sum over cells, smoothed over neighbouring cells."""
        pooled = functional.avg_pool2d(x, self.cell)
        return functional.avg_pool2d(functional.avg_pool2d(pooled, 3, 1, 1), 3, 1, 1)


# Sums of shifted planes stand for pooling below: a fourth to a seventh of its time on one channel.


def _block_means(x: Tensor, ratio: list[int]) -> Tensor:
    """Mean over blocks of `ratio` rows and columns."""
    rows = x[:, :, :: ratio[0]]
    for i in range(1, ratio[0]):
        rows = rows + x[:, :, i :: ratio[0]]
    total = rows[:, :, :, :: ratio[1]]
    for i in range(1, ratio[1]):
        total = total + rows[:, :, :, i :: ratio[1]]
    return total * (1.0 / (ratio[0] * ratio[1]))


def _box(x: Tensor, axis: int, width: int) -> Tensor:
    """Mean over an odd width of neighbours along an axis, at the ends over those that there are."""
    return _windowed(x, axis, width) / _windowed(torch.ones_like(x[:1, :1]), axis, width)


def _windowed(x: Tensor, axis: int, width: int) -> Tensor:
    """Sum over neighbours along an axis, zero beyond the ends."""
    reach, size = width // 2, x.shape[axis]
    padded = functional.pad(x, [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0])
    total = padded.narrow(axis, 0, size)
    for i in range(1, width):
        total = total + padded.narrow(axis, i, size)
    return total


def _smooth_upsample(x: Tensor, ratio: list[int]) -> Tensor:
    """Bilinear upsampling by integer factors with half-pixel alignment (edges held)."""
    if ratio[0] == 1 and ratio[1] == 1:
        return nearest_upsample(x, ratio)
    size = [x.shape[2] * ratio[0], x.shape[3] * ratio[1]]
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
