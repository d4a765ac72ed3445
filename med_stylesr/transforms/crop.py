"""Random training patches: inside the patient, on two grids at once, with neighbouring slices as channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTransform
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor

from med_stylesr.errors import UsageError


class RandBodyCropd(RandomizableTransform):
    """Cut patches around random voxels of the patient out of a volume and its partner on a finer or equal grid.

    Air around the patient teaches nothing; a share of patches may come from anywhere so that the network knows it too.
    Patches that reach over the border repeat the border voxel (in both grids alike).

    Args:
        image_key: volume (1, slices, rows, columns) in HU.
        label_key: its partner, `scale` times as many voxels per axis.
        size: patch size in voxels of the image, per axis.
        scale: voxels of the label per voxel of the image, per axis.
        num_samples: patches per volume and epoch.
        body_hu: voxels above count as patient.
        body_fraction: share of the patches that are centred on the patient, in [0, 1].
        slices_as_channels: make the first spatial axis the channels of the image and keep the label's centre slice.

    Raises:
        UsageError: if the partner's size is not `scale` times the image's, or a 2.5D patch has an even depth or a scale
            through plane.
    """

    def __init__(
        self,
        image_key: str,
        label_key: str,
        size: Sequence[int],
        scale: Sequence[int],
        num_samples: int,
        body_hu: float,
        body_fraction: float,
        slices_as_channels: bool,
    ) -> None:
        super().__init__(prob=1.0)
        if len(size) != 3 or len(scale) != 3:
            raise UsageError("RandBodyCropd", f"size {list(size)} and scale {list(scale)} need three numbers each")
        if slices_as_channels and (size[0] % 2 == 0 or scale[0] != 1):
            raise UsageError("RandBodyCropd", "context slices need an odd depth and no scale through plane")
        self.image_key, self.label_key, self.size, self.scale = image_key, label_key, list(size), list(scale)
        self.num_samples, self.body_hu, self.body_fraction = num_samples, body_hu, body_fraction
        self.slices_as_channels = slices_as_channels

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        """Return `num_samples` mappings with patches in place of the two volumes."""
        image, label = (convert_to_tensor(data[key], track_meta=False) for key in (self.image_key, self.label_key))
        shape = image.shape[1:]
        if [n * s for n, s in zip(shape, self.scale, strict=True)] != list(label.shape[1:]):
            raise UsageError(
                "RandBodyCropd", f"label {tuple(label.shape[1:])} is not {self.scale} times image {tuple(shape)}"
            )
        body = torch.nonzero((image[0] > self.body_hu).flatten())[:, 0]
        return [{**data, **self._patch(image, label, self._center(shape, body))} for _ in range(self.num_samples)]

    def _center(self, shape: torch.Size, body: Tensor) -> list[int]:
        if len(body) and self.R.random() < self.body_fraction:
            voxel = int(body[self.R.randint(len(body))])
            return [int(c) for c in np.unravel_index(voxel, tuple(shape))]
        return [self.R.randint(n) for n in shape]

    def _patch(self, image: Tensor, label: Tensor, center: Sequence[int]) -> dict[Hashable, Any]:
        small, large = image, label
        for axis, (n, size, scale) in enumerate(zip(image.shape[1:], self.size, self.scale, strict=True)):
            start = center[axis] - size // 2
            if not (self.slices_as_channels and axis == 0):
                start = min(max(start, 0), max(n - size, 0))
            index = torch.arange(start, start + size).clamp(0, n - 1)
            small = small.index_select(axis + 1, index)
            fine = (index[:, None] * scale + torch.arange(scale)).flatten()
            large = large.index_select(axis + 1, fine)
        if self.slices_as_channels:
            small, large = small[0], large[0, self.size[0] // 2][None]
        return {self.image_key: small.contiguous(), self.label_key: large.contiguous()}
