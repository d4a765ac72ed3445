"""Random training batches out of cached scans: every dose, style and scale, one batch an item.

With y the scan as it is, n the noise that dose fraction d adds and x = y + n the input, each style has its own target:

    smooth       y                          whose mean given x is the mean-square estimate; it leaves d of the noise
    normal-dose  y + √d/(1 + √d) · n        whose mean given x leaves √d of the noise: normal-dose level, own texture
    as-is        y + n                      all of the noise: super-resolution only

(The noise of y and n are parts of the noise of x, in proportion d to 1 − d; hence the factor.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan, open_cache
from med_stylesr.engines.paired import Prepared, prepare_pair
from med_stylesr.hu import HU_MAX, HU_MIN

_BODY_HU: Final = -950.0
_TRIES: Final = 6


def kept_noise(style: str, dose_fraction: float) -> float:
    """Share of the inserted noise that stands in a style's target.

    Raises:
        ValueError: for a style without a definition here.
    """
    if style == "smooth":
        return 0.0
    if style == "normal-dose":
        return math.sqrt(dose_fraction) / (1 + math.sqrt(dose_fraction))
    if style == "as-is":
        return 1.0
    raise ValueError(f"no training target is defined for style {style!r}")


@dataclass(frozen=True)
class BatchPlan:
    """What a batch looks like.

    Attributes:
        batch_size: samples.
        patch: rows and columns of an input patch.
        slices: 2D: slices of context, odd. 3D: slices of the input slab.
        scales: factors per spatial axis, one drawn per batch.
        styles: names of the network's bank, in its order.
        trained_styles: those drawn, one per sample.
        dose_range: lowest and highest dose fraction; drawn evenly in log.
    """

    batch_size: int
    patch: int
    slices: int
    scales: Sequence[Sequence[int]]
    styles: Sequence[str]
    trained_styles: Sequence[str]
    dose_range: tuple[float, float]


class PairBatches(Dataset[dict[str, Any]]):
    """Batches of pairs; item i of an epoch is the same for the same seeds, so runs repeat and resume exactly.

    Use with a `DataLoader(batch_size=None)`; `EpochSeed` gives every epoch batches of its own.

    Args:
        cache: folder made by `med-stylesr data prepare`.
        length: number of batches.
        seed: decides everything random.
        names: which scans; all if None.
        plan: arguments of `BatchPlan`.
    """

    def __init__(
        self, cache: str | Path, length: int, seed: int, names: Sequence[str] | None = None, **plan: Any
    ) -> None:
        self._scans = open_cache(cache, names)
        self._length = length
        self._seed, self._epoch_seed = seed, 0
        self._plan = BatchPlan(**plan)
        weights = np.array([math.sqrt(len(scan.hu)) for scan in self._scans])
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def set_random_state(self, seed: int | None = None, state: object = None) -> None:
        """Choose the batches of an epoch (the name is MONAI's, which seeds data sets through it)."""
        self._epoch_seed = int(seed or 0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Batch `index`: `image` (B, C, h, w) or (B, 1, D, h, w), `label`, `style` (B,) int64, `scale`."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, self._epoch_seed, index))
        plan = self._plan
        scale = [int(s) for s in plan.scales[int(rng.integers(len(plan.scales)))]]
        samples = [self._sample(rng, scale) for _ in range(plan.batch_size)]
        return {
            "image": torch.from_numpy(np.stack([s[0] for s in samples])),
            "label": torch.from_numpy(np.stack([s[1] for s in samples])),
            "style": torch.tensor([s[2] for s in samples]),
            "scale": scale,
        }

    def _sample(
        self, rng: np.random.Generator, scale: list[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
        plan = self._plan
        scan = self._scans[int(rng.choice(len(self._scans), p=self._weights))]
        low, high = np.log(plan.dose_range)
        dose = float(np.exp(rng.uniform(low, high)))
        style = str(rng.choice(list(plan.trained_styles)))
        clean, noise = self._cut(rng, scan, scale, dose)
        flip, turn = rng.integers(2), int(rng.integers(4))
        if flip:
            clean, noise = clean[..., ::-1], noise[..., ::-1]
        clean, noise = np.rot90(clean, turn, (-2, -1)), np.rot90(noise, turn, (-2, -1))
        target = clean + kept_noise(style, dose) * noise
        image = _averaged(clean + noise, [1, *scale] if len(scale) == 2 else scale)
        if len(scale) == 2:
            label = target[plan.slices // 2][None]
        else:
            image, label = image[None], target[None]
        return np.ascontiguousarray(image), np.ascontiguousarray(label), list(plan.styles).index(style)

    def _cut(
        self, rng: np.random.Generator, scan: CachedScan, scale: list[int], dose: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Piece of the scan, and of noise scaled to the dose, both (slices, rows, columns) and as fine as the label."""
        plan, (total, rows, columns) = self._plan, scan.hu.shape
        draw = int(rng.integers(len(scan.doses)))
        gain = math.sqrt((1 / dose - 1) / (1 / scan.doses[draw] - 1)) / STORED_PER_HU
        height, width = plan.patch * scale[-2], plan.patch * scale[-1]
        if len(scale) == 2:
            centre = int(rng.integers(total))
            around = np.arange(centre - plan.slices // 2, centre + plan.slices // 2 + 1)
        else:
            depth = plan.slices * scale[0]
            around = np.arange(depth) + int(rng.integers(max(total - depth, 0) + 1))
        # Replicated at the ends, as at inference.
        around = around.clip(0, total - 1)
        for _ in range(_TRIES):
            top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
            window = np.s_[top : top + height, left : left + width]
            if float(scan.hu[around[len(around) // 2]][window].mean()) > _BODY_HU:
                break
        clean = np.stack([scan.hu[k][window] for k in around]).astype(np.float32)
        noise = np.stack([scan.noise[draw, k][window] for k in around]).astype(np.float32)
        return clean.clip(HU_MIN, HU_MAX), noise * np.float32(gain)


def _averaged(x: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """Mean over blocks: what a detector or slice `factors` times as wide would have seen."""
    a, b, c = factors
    if (a, b, c) == (1, 1, 1):
        return x
    d, h, w = x.shape
    blocks = x.reshape(d // a, a, h // b, b, w // c, c)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)


def prepare_scaled_pair(
    batch: dict[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
) -> Prepared:
    """`prepare_pair`, and the `scale` of the batch handed to the generator: it picks the head.

    Args:
        batch: with `image`, `label`, `style` and `scale` (a list of factors).
        device: where to compute.
        non_blocking: copy without waiting for the device.
        kwargs: further arguments of `torch.Tensor.to`.
    """
    image, label, args, extra = prepare_pair(batch, device, non_blocking, **kwargs)
    scale: list[int] = [int(s) for s in batch["scale"]]
    return _plain(image), _plain(label), args, {**extra, "scale": scale}


def _plain(x: Tensor) -> Tensor:
    """Channels last in 2D: dense convolutions run near the CPU's peak in this layout only."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
