"""Bringing two scans of one patient onto the same slices."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from med_stylesr.errors import InputError


class CommonSlicesd(Transform):
    """Keep the slices that lie at the same position in both scans (within a tenth of the slice distance).

    Reconstructions of one scan at two doses or with two kernels often start a slice apart. Both must have the same
    pixel grid in plane; the result has equal shapes.

    Args:
        image_key: the low-dose scan, as `LoadCT` gives it.
        label_key: its partner.

    Raises:
        InputError: if the grids differ in plane or share no slice.
    """

    def __init__(self, image_key: str, label_key: str) -> None:
        self.image_key, self.label_key = image_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the mapping with both scans cut to the common slices."""
        image, label = data[self.image_key], data[self.label_key]
        first, second = (np.asarray(x.affine, dtype=np.float64) for x in (image, label))
        name = str(image.meta.get("filename_or_obj", self.image_key))
        step = float(np.linalg.norm(first[:3, 0]))
        if image.shape[2:] != label.shape[2:] or not np.allclose(first[:3, 1:3], second[:3, 1:3], atol=1e-3):
            raise InputError(name, "its pixel grid differs from its partner's", "pair reconstructions of one scan only")
        normal = np.cross(first[:3, 1], first[:3, 2])
        normal /= np.linalg.norm(normal)
        places = [
            (affine[:3, 3] + np.outer(np.arange(x.shape[1]), affine[:3, 0]))
            for affine, x in ((first, image), (second, label))
        ]
        distance = np.abs((places[0] @ normal)[:, None] - (places[1] @ normal)[None])
        pairs = [(i, int(j)) for i, j in enumerate(distance.argmin(1)) if distance[i, j] < 0.1 * step]
        if not pairs:
            raise InputError(name, "shares no slice position with its partner", "check that both are of one scan")
        kept = [i for i, _ in pairs], [j for _, j in pairs]
        offset = np.abs(places[0][kept[0][0]] - places[1][kept[1][0]]).max()
        if offset > 0.5:
            raise InputError(name, f"lies {offset:.1f} mm beside its partner", "pair reconstructions of one scan only")
        return {**data, self.image_key: _select(image, kept[0]), self.label_key: _select(label, kept[1])}


def _select(volume: MetaTensor, slices: list[int]) -> MetaTensor:
    affine = volume.affine.clone()
    affine[:3, 3] += affine[:3, 0] * slices[0]
    tensor = volume.as_tensor()[:, torch.tensor(slices)]
    return MetaTensor(tensor, affine=affine, meta={k: v for k, v in volume.meta.items() if k != "affine"})
