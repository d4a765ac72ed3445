"""Fréchet distance on features of the CT encoder that ships with the package: not Inception's, and not comparable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from benchmarks.scans import Hu
from numpy.typing import NDArray

from med_stylesr.metrics.regions import body_mask
from med_stylesr.networks.features import SliceFeatures

PATCH: Final = 64


@torch.inference_mode()
def patch_features(images: Hu, normal: Hu, encoder: SliceFeatures) -> NDArray[np.float64]:
    """Mean over each patch of the body of the deepest feature maps, (patches, features)."""
    body = body_mask(normal)
    maps = encoder(torch.from_numpy(images)[:, None].float())[-1].double().numpy()
    step = images.shape[1] // maps.shape[2]
    found = []
    for k, top, left in _corners(images.shape):
        if body[k, top : top + PATCH, left : left + PATCH].mean() < 0.75:
            continue
        rows, columns = (slice(start // step, (start + PATCH) // step) for start in (top, left))
        found.append(maps[k, :, rows, columns].mean(axis=(1, 2)))
    return np.array(found)


def _corners(shape: tuple[int, ...]) -> Iterable[tuple[int, int, int]]:
    for k in range(shape[0]):
        for top in range(0, shape[1] - PATCH + 1, PATCH // 2):
            for left in range(0, shape[2] - PATCH + 1, PATCH // 2):
                yield k, top, left
