"""Lower resolution the way a scanner makes it: slice profiles through plane, point spread and sampling in plane.

Each axis is one sparse matrix (profile integrated over input voxels), so that the operator A is linear, keeps
constants, and has an exact adjoint; `degrade(enhanced) ≈ input` can be checked with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from med_stylesr.geometry import VoxelGrid
from med_stylesr.hu import HU_MIN

Profile = Literal["rectangular", "smooth"]

_FWHM_TO_SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))


@dataclass(frozen=True)
class AxisSampling:
    """How one axis is blurred and sampled.

    Attributes:
        spacing_mm: spacing of the input.
        step_mm: spacing of the output.
        width_mm: width of the profile: slice thickness through plane, FWHM of the point spread in plane.
        profile: `rectangular` (a detector row, sequential scanning) or `smooth` (Gaussian of FWHM `width_mm`, as in
            helical scanning and in plane).
        inside: whether every output profile must lie inside the input, as slices do; otherwise the output keeps the
            field of view centred and weights are renormalised at its ends.

    Raises:
        ValueError: for a length that is not positive, or a width below the input's spacing when `rectangular`.
    """

    spacing_mm: float
    step_mm: float
    width_mm: float
    profile: Profile
    inside: bool

    def __post_init__(self) -> None:
        if min(self.spacing_mm, self.step_mm, self.width_mm) <= 0:
            raise ValueError("spacing, step and width must be positive")
        if self.profile == "rectangular" and self.width_mm < self.spacing_mm * (1 - 1e-6):
            raise ValueError(f"a {self.width_mm:g} mm profile cannot be made of {self.spacing_mm:g} mm voxels")

    def count(self, size: int) -> int:
        """Number of output samples for `size` input samples.

        Raises:
            ValueError: if not even one fits.
        """
        extent = size * self.spacing_mm
        if self.inside:
            count = math.floor((extent - self.width_mm) / self.step_mm + 1e-6) + 1
        else:
            count = max(1, round(extent / self.step_mm))
        if count < 1:
            raise ValueError(f"{size} samples of {self.spacing_mm:g} mm do not hold one of {self.width_mm:g} mm")
        return count

    def centers_mm(self, size: int) -> NDArray[np.float64]:
        """Centres of the output samples, measured from the outer edge of the first input sample."""
        count = self.count(size)
        first = self.width_mm / 2 if self.inside else (size * self.spacing_mm - (count - 1) * self.step_mm) / 2
        return np.asarray(first + np.arange(count) * self.step_mm, dtype=np.float64)

    def matrix(self, size: int, like: Tensor) -> Tensor:
        """Weights (outputs, size) with rows that sum to 1: the profile integrated over each input sample."""
        edges = np.arange(size + 1) * self.spacing_mm
        distance = (edges[None] - self.centers_mm(size)[:, None]) / self.width_mm
        if self.profile == "rectangular":
            integral = torch.from_numpy(distance.clip(-0.5, 0.5))
        else:
            integral = torch.erf(torch.from_numpy(distance) / (_FWHM_TO_SIGMA * math.sqrt(2)))
        weights = integral.diff(dim=1)
        return (weights / weights.sum(dim=1, keepdim=True)).to(like)


@dataclass(frozen=True)
class ResolutionOperator:
    """Separable A = A_slice ⊗ A_row ⊗ A_column on (…, K, H, W); an axis that is None is left alone."""

    axes: tuple[AxisSampling | None, AxisSampling | None, AxisSampling | None]

    @classmethod
    def thick_slices(
        cls, spacing_mm: float, thickness_mm: float, step_mm: float, profile: Profile = "rectangular"
    ) -> ResolutionOperator:
        """Through-plane operator alone: slices of `thickness_mm` every `step_mm` out of slices `spacing_mm` apart."""
        return cls((AxisSampling(spacing_mm, step_mm, thickness_mm, profile, inside=True), None, None))

    @classmethod
    def coarse_pixels(cls, spacing_mm: float, pixel_mm: float, psf_fwhm_mm: float) -> ResolutionOperator:
        """In-plane operator alone: Gaussian point spread, sampled every `pixel_mm`, same field of view."""
        axis = AxisSampling(spacing_mm, pixel_mm, psf_fwhm_mm, "smooth", inside=False)
        return cls((None, axis, axis))

    def __call__(self, volume: Tensor) -> Tensor:
        """Apply A to (…, K, H, W)."""
        for dim, axis in zip((-3, -2, -1), self.axes, strict=True):
            if axis is not None:
                volume = _along(axis.matrix(volume.shape[dim], volume), volume, dim)
        return volume

    def adjoint(self, volume: Tensor, shape: Sequence[int]) -> Tensor:
        """Apply the adjoint of A: <A x, y> = <x, A* y> for x of spatial `shape` (K, H, W)."""
        for dim, axis in zip((-3, -2, -1), self.axes, strict=True):
            if axis is not None:
                volume = _along(axis.matrix(int(shape[dim]), volume).T, volume, dim)
        return volume

    def grid(self, grid: VoxelGrid) -> VoxelGrid:
        """Where the output's voxels lie."""
        shape = list(grid.shape)
        step = np.eye(4)
        for dim, axis in enumerate(self.axes):
            if axis is not None:
                shape[dim] = axis.count(grid.shape[dim])
                along = 2 - dim
                step[along, along] = axis.step_mm / axis.spacing_mm
                step[along, 3] = float(axis.centers_mm(grid.shape[dim])[0]) / axis.spacing_mm - 0.5
        return VoxelGrid((shape[0], shape[1], shape[2]), grid.affine @ step)


def reduce_resolution(hu: Tensor, operator: ResolutionOperator) -> Tensor:
    """Apply an operator to HU that may hold padding (below −1024), which must not bleed into anatomy.

    Args:
        hu: (…, K, H, W) HU.
        operator: what to apply.

    Returns:
        Output HU; voxels that mostly see padding hold the padding value, others see air in its place.
    """
    padding = hu < HU_MIN
    if not padding.any():
        return operator(hu)
    reduced = operator(torch.where(padding, torch.full_like(hu, HU_MIN), hu))
    return torch.where(operator(padding.to(hu.dtype)) > 0.5, hu.min(), reduced)


def motion_blur(hu: Tensor, length_px: float, angle_rad: float) -> Tensor:
    """Blur slices along a line, like a structure that moved evenly during the scan.

    Args:
        hu: (…, H, W).
        length_px: length of the way in pixels; 1 or less leaves the slices as they are.
        angle_rad: its direction, 0 along rows.

    Returns:
        Same shape; mean kept away from the borders, which are replicated.
    """
    if length_px <= 1:
        return hu
    reach = math.ceil((length_px - 1) / 2)
    offset = torch.arange(-reach, reach + 1, dtype=hu.dtype, device=hu.device)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    along = x * math.cos(angle_rad) + y * math.sin(angle_rad)
    across = -x * math.sin(angle_rad) + y * math.cos(angle_rad)
    line = (1 - across.abs()).clamp_min(0) * (length_px / 2 + 0.5 - along.abs()).clamp(0, 1)
    flat = functional.pad(hu.reshape(-1, 1, *hu.shape[-2:]), (reach,) * 4, mode="replicate")
    return functional.conv2d(flat, (line / line.sum())[None, None]).reshape(hu.shape)


def _along(matrix: Tensor, volume: Tensor, dim: int) -> Tensor:
    return (volume.movedim(dim, -1) @ matrix.T).movedim(-1, dim)
