"""Synthetic pairs of low-dose and normal-dose images, so that every configuration can be run without patient data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.utils.data import Dataset

from med_stylesr.errors import UsageError


class PhantomPairs(Dataset[Any]):
    r"""Body-like phantoms: a fat ring, soft tissue with texture and inserts of 10 to 60 HU contrast, lungs, bone.

    Item n depends on (seed, n) alone. The normal-dose image is the phantom plus correlated noise of standard deviation
    \(\sigma\) = `noise_hu`; the low-dose image at dose fraction d is that image plus independent noise of variance
    \(\sigma^2 (1/d - 1)\) (what a simulator does with a real scan), averaged onto the coarser grid for SR.

    Args:
        spatial_dims: 2 (items are slices with context as channels) or 3.
        count: number of items.
        size: spatial size of the low-dose image in array order.
        scale: super-resolution factor per axis: the label has size · scale.
        in_channels: number of context slices in 2D (odd), 1 in 3D.
        dose_fraction: smallest and largest dose fraction, drawn per item, in (0, 1].
        noise_hu: standard deviation of the normal-dose noise in HU.
        noise_sigma: standard deviation of the noise's correlation in label voxels, in plane.
        seed: seed of the phantoms.
        transform: applied to every item, or None.

    Raises:
        UsageError: for sizes that do not fit.
    """

    def __init__(
        self,
        spatial_dims: int,
        count: int,
        size: Sequence[int],
        scale: Sequence[int],
        in_channels: int,
        dose_fraction: Sequence[float],
        noise_hu: float,
        noise_sigma: float,
        seed: int,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if len(size) != spatial_dims or len(scale) != spatial_dims:
            raise UsageError("PhantomPairs", f"size {list(size)} or scale {list(scale)} is not {spatial_dims} numbers")
        self.spatial_dims, self.count, self.in_channels = spatial_dims, count, in_channels
        # In 2D the context slices are a short depth axis that is not super-resolved.
        self.size = (in_channels, *size) if spatial_dims == 2 else tuple(size)
        self.scale = (1, *scale) if spatial_dims == 2 else tuple(scale)
        self.dose_fraction, self.transform = (dose_fraction[0], dose_fraction[1]), transform
        self.noise_hu, self.noise_sigma, self.seed = noise_hu, noise_sigma, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        """Return `image` (C, …), `label` (1, …) in HU float32 and `dose_fraction`, transformed."""
        random = np.random.default_rng([self.seed, index])
        shape = tuple(n * s for n, s in zip(self.size, self.scale, strict=True))
        own, added = (self._noise(shape, random) for _ in range(2))
        label = draw_phantom(shape, random) + own
        dose = random.uniform(*self.dose_fraction)
        image = _block_mean(label + np.sqrt(1 / dose - 1) * added, self.scale)
        if self.spatial_dims == 2:
            label = label[self.in_channels // 2]
        else:
            image = image[None]
        item = {
            "image": torch.from_numpy(image.astype(np.float32)),
            "label": torch.from_numpy(label[None].astype(np.float32)),
            "dose_fraction": torch.tensor(dose, dtype=torch.float32),
        }
        return item if self.transform is None else self.transform(item)

    def _noise(self, shape: Sequence[int], random: np.random.Generator) -> NDArray[np.float64]:
        noise = gaussian_filter(random.standard_normal(shape), (0, self.noise_sigma, self.noise_sigma))
        return self.noise_hu * noise / noise.std()


def draw_phantom(shape: Sequence[int], random: np.random.Generator) -> NDArray[np.float64]:
    """Draw one noiseless phantom.

    Args:
        shape: (slices, rows, columns).
        random: source of sizes, places and contrasts.

    Returns:
        HU, float64, edges about one voxel wide.
    """
    depth, rows, columns = shape
    z, y, x = np.meshgrid(
        np.linspace(-1, 1, depth) if depth > 1 else np.zeros(1),
        np.linspace(-1, 1, rows),
        np.linspace(-1, 1, columns),
        indexing="ij",
    )
    voxel = 2 / min(rows, columns)
    hu = np.full(shape, -1000.0)

    def paint(center: Sequence[float], radii: Sequence[float], value: float | NDArray[np.float64]) -> None:
        u = [(axis - c) / r for axis, c, r in zip((z, y, x), center, radii, strict=True)]
        distance = (1 - np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2)) * min(radii[1:])
        share = np.clip(distance / voxel + 0.5, 0, 1)
        hu[...] = (1 - share) * hu + share * value

    far = 20.0
    texture = gaussian_filter(random.standard_normal(shape), (1.0, 3.0, 3.0))
    texture *= 6.0 / max(float(texture.std()), 1e-6)
    paint((0, 0, 0), (far, random.uniform(0.75, 0.9), random.uniform(0.85, 0.95)), -100.0)
    paint((0, 0, 0), (far, 0.7, 0.8), 45.0 + texture)
    for side in (-1, 1):
        paint((0, -0.1, 0.42 * side), (random.uniform(2, 4), random.uniform(0.3, 0.4), 0.24), -850.0 + 3 * texture)
        for _ in range(4):
            place = (random.uniform(-1, 1), random.uniform(-0.3, 0.1), side * random.uniform(0.28, 0.56))
            radius = random.uniform(0.02, 0.06)
            paint(place, (1.5, radius, radius), random.uniform(-100, 40))
    paint((0, 0.5, 0), (far, 0.12, 0.14), 450.0)
    paint((0, 0.5, 0), (far, 0.07, 0.09), 200.0)
    for _ in range(6):
        radius = random.uniform(0.04, 0.12)
        place = (random.uniform(-1, 1), random.uniform(0.2, 0.6), random.uniform(-0.6, 0.6))
        paint(place, (random.uniform(0.5, 2), radius, radius), 45.0 + random.choice([-1, 1]) * random.uniform(10, 60))
    return hu


def _block_mean(image: NDArray[np.float64], factors: Sequence[int]) -> NDArray[np.float64]:
    for axis, factor in enumerate(factors):
        size = image.shape
        image = image.reshape(*size[:axis], size[axis] // factor, factor, *size[axis + 1 :]).mean(axis + 1)
    return image
