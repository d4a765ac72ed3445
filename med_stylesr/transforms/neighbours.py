"""Training pairs without any target: neighbouring slices show nearly the same anatomy with independent noise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Transform

from med_stylesr.errors import InputError


class NeighbourSlicesd(Transform):
    """Split a volume into its even slices (the image) and its odd ones (the label).

    Valid where slices are thin against the anatomy; what changes between neighbours is blurred through plane.

    Args:
        volume_key: entry with the volume (1, slices, rows, columns), as `LoadCT` gives it.
        image_key: entry for the even slices.
        label_key: entry for the odd slices.

    Raises:
        InputError: if the volume has fewer than two slices.

    Source: Noise2Noise, Lehtinen et al. 2018, arXiv 1803.04189.
    """

    def __init__(self, volume_key: str, image_key: str, label_key: str) -> None:
        self.volume_key, self.image_key, self.label_key = volume_key, image_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the mapping with the two halves."""
        volume: MetaTensor = data[self.volume_key]
        pairs = volume.shape[1] // 2
        if not pairs:
            raise InputError(str(volume.meta.get("filename_or_obj", "volume")), "has one slice only")
        tensor = volume.as_tensor()
        affine = volume.affine.clone()
        affine[:3, 0] *= 2
        meta = {k: v for k, v in volume.meta.items() if k != "affine"}
        even, odd = (MetaTensor(tensor[:, k : 2 * pairs : 2], affine=affine, meta=meta) for k in (0, 1))
        return {**data, self.image_key: even, self.label_key: odd}
