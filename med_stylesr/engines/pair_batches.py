"""Random training batches out of cached scans: every dose, style and scale, one batch an item.

With y the scan as it is, n the noise that dose fraction d adds and x = y + n the input, each style has its own target:

    smooth       y                          whose mean given x is the mean-square estimate; it leaves d of the noise
    normal-dose  y + √d/(1 + √d) · n        whose mean given x leaves √d of the noise: normal-dose level, own texture
    as-is        y + n                      all of the noise: super-resolution only
    soft, sharp  K (normal-dose)            at normal dose through one soft or one sharp kernel K, whatever the input's
    noise-free   y, for (1 − d) p + d x     with p the prediction, which is best without noise, as y has d of that of x
                                            on average: no clean image is needed, nor need p know the dose

(The noise of y and n are parts of the noise of x, in proportion d to 1 − d; hence the factors. The last line is that of
Moran et al., Noisier2Noise, CVPR 2020, doi:10.1109/CVPR42600.2020.01208, weighted as its variance asks for.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from med_stylesr.engines.pair_augment import (
    MARGIN,
    Response,
    Variety,
    another,
    mixture,
    random_response,
    random_thickness,
    random_zoom,
    refilter,
    source_size,
    zoomed,
)
from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan, open_cache
from med_stylesr.engines.pair_plan import NOISE_FREE, BatchPlan, KernelStyle, References, kept_noise, sample_weight
from med_stylesr.hu import HU_MAX, HU_MIN

_AIR_HU: Final = -950.0
_AIR_SHARE: Final = 0.4
"""Patches with more air are drawn again, but for those of `BatchPlan.air`: most of a slice is air."""
_TRIES: Final = 6


@dataclass(frozen=True)
class _Wanted:
    """Kernel of a target, relative to the scan's own (None: that one), and how sharp its inputs may be."""

    response: Response | None
    input_boost: float

    def applied(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return x if self.response is None else refilter(x, *self.response)


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
        self._variety = Variety(**self._plan.variety)
        self._kernels = {name: KernelStyle(**how) for name, how in self._plan.kernel_styles.items()}
        self._references = References(**self._plan.references)
        weights = np.array([math.sqrt(len(scan.hu)) for scan in self._scans])
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def set_random_state(self, seed: int | None = None, state: object = None) -> None:
        """Choose the batches of an epoch (the name is MONAI's, which seeds data sets through it)."""
        self._epoch_seed = int(seed or 0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Batch `index`: `image` (B, C, h, w) or (B, 1, D, h, w), `label`, `real`, `style` and `scale`.

        `style` is (B,) int64 or references (B, 1, h', w'). `noisy` is the label with the noise of the input, `kept`
        (B,) the share of it that predictions are to be given back before they are compared with the label, `weight`
        (B,) what a sample counts.
        `real` is what adversaries hold for real: the label has more noise than normal dose wherever a mean-square
        estimate of it is to have as much.
        """
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng((self._seed, self._epoch_seed, index))
        plan = self._plan
        scale = [int(s) for s in plan.scales[int(rng.integers(len(plan.scales)))]]
        referenced = scale == [1, 1] and rng.random() < self._references.probability
        make = self._referenced if referenced else self._named
        samples = zip(*(make(rng, scale) for _ in range(plan.batch_size)), strict=True)
        names = ("image", "label", "real", "noisy", "kept", "weight", "style")
        stacked = (torch.from_numpy(np.stack(values)) for values in samples)
        return {**dict(zip(names, stacked, strict=True)), "scale": scale}

    def _named(self, rng: np.random.Generator, scale: list[int]) -> tuple[NDArray[Any], ...]:
        """What `_sample` returns for a style of the bank, and the number of the style."""
        plan, scan = self._plan, self._scan(rng)
        finer = max(scale) > 1
        style = str(rng.choice([name for name in plan.trained_styles if not (finer and name in self._kernels)]))
        kernel = self._kernels.get(style)
        wanted = None
        if kernel is not None:
            own = (kernel.f50_per_mm * scan.spacing_mm[-1], kernel.order, kernel.boost)
            wanted = _Wanted(None if scan.name in kernel.already else own, kernel.input_boost)
        return *self._sample(rng, scan, scale, style, wanted), np.array(list(plan.styles).index(style))

    def _referenced(self, rng: np.random.Generator, scale: list[int]) -> tuple[NDArray[Any], ...]:
        """What `_sample` returns for a style that only its reference tells, and the reference."""
        how, scan = self._references, self._scan(rng)
        anything = Variety(refilter=1.0, f50_px=how.f50_px, boost=how.boost)
        wanted = _Wanted(random_response(rng, anything), how.input_boost)
        sample = self._sample(rng, scan, scale, "normal-dose", wanted)
        clean, _ = self._cut(rng, scan, scale, 1.0, [how.size + 2 * MARGIN] * 2)
        reference = wanted.applied(clean[self._plan.slices // 2])[MARGIN:-MARGIN, MARGIN:-MARGIN]
        return *sample, np.ascontiguousarray(reference)[None]

    def _scan(self, rng: np.random.Generator) -> CachedScan:
        return self._scans[int(rng.choice(len(self._scans), p=self._weights))]

    def _sample(
        self, rng: np.random.Generator, scan: CachedScan, scale: list[int], style: str, wanted: _Wanted | None
    ) -> tuple[NDArray[np.float32], ...]:
        """Image, label, real and noisy, turned and mirrored at random; share of noise to give back; weight."""
        low, high = self._plan.dose_range
        dose = float(low * (high / low) ** (rng.uniform() ** self._plan.dose_skew))
        clean, noise = self._varied(rng, scan, scale, dose, wanted)
        share = kept_noise(style, dose)
        target, seen = _stored(clean[0] + share * noise[0]), clean[1] + noise[1]
        real = target if share == 1.0 else clean[0]
        flip, turn = bool(rng.integers(2)), int(rng.integers(4))
        fine = (target, real, _stored(clean[0] + noise[0]))
        target, real, noisy, seen = (np.rot90(x[..., ::-1] if flip else x, turn, (-2, -1)) for x in (*fine, seen))
        image = _stored(_averaged(seen, [1, *scale] if len(scale) == 2 else scale))
        if len(scale) == 2:
            target, real, noisy = (x[self._plan.slices // 2] for x in (target, real, noisy))
        else:
            image = image[None]
        kept = np.array(dose if style == NOISE_FREE else 0.0, dtype=np.float32)
        weight = np.array(sample_weight(float(noise[1].std()), self._plan.noise_power), dtype=np.float32)
        return *(np.ascontiguousarray(x) for x in (image, target[None], real[None], noisy[None])), kept, weight

    def _varied(
        self, rng: np.random.Generator, scan: CachedScan, scale: list[int], dose: float, wanted: _Wanted | None
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Image and inserted noise, each as the target and as the input shows it; the same unless kernels change."""
        size = [self._plan.patch * scale[-2], self._plan.patch * scale[-1]]
        zoom = random_zoom(rng, self._variety) if wanted is None else 1.0
        boost = self._variety.boost if wanted is None else wanted.input_boost
        through = random_response(rng, replace(self._variety, boost=boost))
        margin = MARGIN if through or wanted else 0
        cut = self._cut(rng, scan, scale, dose, [source_size(n, zoom) + 2 * margin for n in size])
        both = np.concatenate(cut)
        seen = both if through is None else refilter(both, *through)
        shown = seen if wanted is None else wanted.applied(both)
        inner = np.s_[:, margin : both.shape[1] - margin, margin : both.shape[2] - margin]
        halves = [np.split(zoomed(x[inner], zoom, size), 2) for x in (shown, seen)]
        return [_stored(half[0]) for half in halves], [half[1] for half in halves]

    def _cut(
        self, rng: np.random.Generator, scan: CachedScan, scale: list[int], dose: float, size: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Piece of the scan, and of noise scaled to the dose, both (slices, *size) and as fine as the label."""
        plan, (total, rows, columns) = self._plan, scan.hu.shape
        shares = mixture(rng, len(scan.doses), self._variety.mix)
        thick = random_thickness(rng, self._variety, scan.spacing_mm[0]) if scale[0] == scale[-1] else 1
        if len(scale) == 2:
            reach = plan.slices * thick
            around = np.arange(reach) + int(rng.integers(total)) - reach // 2
        else:
            reach = plan.slices * scale[0]
            around = np.arange(reach) + int(rng.integers(max(total - reach, 0) + 1))
        # Replicated at the ends, as at inference.
        around = around.clip(0, total - 1)
        anywhere = plan.air > 0 and rng.random() < plan.air
        for _ in range(1 if anywhere else _TRIES):
            top, left = int(rng.integers(rows - size[0] + 1)), int(rng.integers(columns - size[1] + 1))
            window = np.s_[top : top + size[0], left : left + size[1]]
            if float((scan.hu[around[len(around) // 2]][window] < _AIR_HU).mean()) < _AIR_SHARE:
                break

        def mixed(weights: NDArray[np.float64], variance: float) -> NDArray[np.float32]:
            """Mixture of the draws whose variance is `variance` times that of the scan's own noise."""
            total_noise = np.zeros((len(around), *size), dtype=np.float32)
            for draw in np.flatnonzero(weights):
                # Variance of inserted noise is 1/d - 1 times that of the scan's own.
                gain = weights[draw] * math.sqrt(variance / (1 / scan.doses[draw] - 1)) / STORED_PER_HU
                total_noise += np.float32(gain) * np.stack([scan.noise[draw, k][window] for k in around])
            # Outside the field of view nothing was measured, so that no dose changes it.
            total_noise[scanned < HU_MIN] = 0
            return _averaged(total_noise, [thick, 1, 1])

        scanned = np.stack([scan.hu[k][window] for k in around]).astype(np.float32)
        clean = _averaged(scanned, [thick, 1, 1])
        more = rng.uniform(0, self._variety.own) if self._variety.own > 0 and len(scan.doses) > 1 else 0.0
        if more > 0:
            clean = clean + mixed(another(rng, shares), more**2)
        return _stored(clean), mixed(shares, (1 / dose - 1) * (1 + more**2))


def _stored(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """As scanners store it: noise of air that would be below the scale of HU is cut off."""
    return x.clip(HU_MIN, HU_MAX)


def _averaged(x: NDArray[np.float32], factors: Sequence[int]) -> NDArray[np.float32]:
    """Mean over blocks: what a detector or slice `factors` times as wide would have seen."""
    a, b, c = factors
    if (a, b, c) == (1, 1, 1):
        return x
    d, h, w = x.shape
    blocks = x.reshape(d // a, a, h // b, b, w // c, c)
    return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)
