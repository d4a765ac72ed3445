"""Distances between sets of images on the features of the CT encoder that comes with the package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.distribution import frechet_distance, gram_distance, kernel_distance

if TYPE_CHECKING:
    from torch import Tensor

    from med_stylesr.networks.features import SliceFeatures

FEATURES: Final = "CT features (ct_encoder of med-stylesr), not Inception's"
"""What these distances are on. They compare with nothing that was measured on other features."""
CELL: Final = 32
"""Edge in pixels of the squares that features are summed up over: one sample each."""
TEXTURE_LEVELS: Final = slice(0, 3)
"""Levels of the encoder whose spread over a square counts: noise, its grain, edges."""
CONTENT_LEVELS: Final = slice(2, 4)
"""Levels whose mean over a square counts: what is there."""
BODY_SHARE: Final = 0.75
"""Squares with less of the body are left out."""
SLICES: Final = 16
"""Slices looked at: some two thousand squares of a chest, several for each feature."""


def distances(
    image: NDArray[np.float32], reference: NDArray[np.float32], body: NDArray[np.bool_]
) -> dict[str, Any] | None:
    """Fréchet, kernel and Gram distance of two stacks of the same places; None with too few squares inside the body.

    Args:
        image: HU, shape (slices, rows, columns).
        reference: HU, same shape.
        body: mask, same shape.
    """
    own, normal, grams = [], [], []
    for x, y, mask in zip(image, reference, body, strict=True):
        inside = _cells(mask.astype(np.float32)) >= BODY_SHARE
        if not inside.any():
            continue
        maps = [_maps(plane) for plane in (x, y)]
        own.append(_samples(maps[0], inside))
        normal.append(_samples(maps[1], inside))
        grams.append(np.mean([gram_distance(a, b) for a, b in zip(*maps, strict=True)]))
    count = sum(map(len, own))
    if count < 2:
        return None
    a, b = np.concatenate(own), np.concatenate(normal)
    return {
        "features": FEATURES,
        "squares": count,
        # A covariance of more features than samples is singular, and the distance biased upwards.
        "frechet": frechet_distance(a, b) if count > a.shape[1] else None,
        "kernel": kernel_distance(a, b, paired=True),
        "gram": float(np.mean(grams)),
    }


def square_features(planes: Iterable[NDArray[np.float32]], body: Iterable[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """Features of every square inside the body, shape (squares, features).

    Args:
        planes: HU, shape (rows, columns) each.
        body: mask of each.
    """
    found = [
        _samples(_maps(plane), _cells(mask.astype(np.float32)) >= BODY_SHARE)
        for plane, mask in zip(planes, body, strict=True)
    ]
    return np.concatenate(found)


@cache
def _encoder() -> SliceFeatures:
    from med_stylesr.networks.features import shipped_encoder

    return shipped_encoder().eval()


def _maps(plane: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Feature maps (features, rows, columns) of a slice, cropped to whole squares."""
    import torch

    rows, columns = (n // CELL * CELL for n in plane.shape)
    with torch.inference_mode():
        maps: list[Tensor] = _encoder()(torch.from_numpy(np.ascontiguousarray(plane[None, None, :rows, :columns])))
    return [m[0].numpy() for m in maps]


def _samples(maps: list[NDArray[np.float32]], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Features of the squares inside, each in units of its spread over the scans that the encoder was trained on."""
    squares = []
    for level in maps:
        channels, rows, columns = level.shape
        down, across = inside.shape
        squares.append(level.reshape(channels, down, rows // down, across, columns // across))
    parts = [square.std(axis=(2, 4))[:, inside] for square in squares[TEXTURE_LEVELS]]
    parts += [square.mean(axis=(2, 4))[:, inside] for square in squares[CONTENT_LEVELS]]
    mean, spread = _scale()
    return np.asarray((np.concatenate(parts).T - mean) / spread, dtype=np.float32)


@cache
def _scale() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread of each feature over the scans that the encoder was trained on."""
    card = json.loads(files("med_stylesr.networks").joinpath("ct_encoder.json").read_text(encoding="utf-8"))
    mean, spread = (np.array(card["squares"][name], dtype=np.float32) for name in ("mean", "spread"))
    return mean, spread


def _cells(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over each whole square."""
    rows, columns = (n // CELL for n in plane.shape)
    cut = plane[: rows * CELL, : columns * CELL]
    return np.asarray(cut.reshape(rows, CELL, columns, CELL).mean(axis=(1, 3)))
