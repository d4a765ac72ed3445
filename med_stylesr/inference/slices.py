"""A volume as a stream of slices, and the two stages that enhance it on the way: through plane and in plane.

Stages pull from each other: `InPlane(ThroughPlane(DICOM files))`. Each holds a few slices only, so a series of any
length runs in bounded memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.inference.runtime import Runtime
from med_stylesr.networks.upsample import CubicUpsample

Hu = NDArray[np.float32]
CUBIC_REACH: Final = 2
"""Slices on either side that cubic interpolation between slices looks at."""


class SliceSource(Protocol):
    """Anything that gives slices of a volume."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""

    @property
    def reach(self) -> int:
        """Slices of the scan on either side that a slice is made of, beside the one that it lies in."""

    @property
    def per_slice(self) -> int:
        """Slices for every slice of the scan."""

    def read(self, start: int, stop: int) -> Hu:
        """HU of slices start … stop-1, float32."""


class ArraySlices:
    """Slices of an array in memory.

    Args:
        hu: HU (slices, rows, columns).
    """

    def __init__(self, hu: NDArray[Any]) -> None:
        self._hu = hu
        self.reach, self.per_slice = 0, 1
        self.shape: tuple[int, int, int] = (hu.shape[0], hu.shape[1], hu.shape[2])

    def read(self, start: int, stop: int) -> Hu:
        """HU of slices start … stop-1, float32."""
        return np.asarray(self._hu[start:stop], dtype=np.float32)


class DecodedSlices:
    """Slices that a function decodes; the ones just read are kept, since neighbours are read again as context.

    Args:
        shape: slices, rows, columns.
        decode: gives HU of slices start … stop-1.
        keep: how many slices before the last read ones are kept.
        reach: see `SliceSource`; of a scan itself 0.
        per_slice: see there.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        decode: Callable[[int, int], NDArray[Any]],
        keep: int,
        reach: int = 0,
        per_slice: int = 1,
    ) -> None:
        self.shape, self.reach, self.per_slice = shape, reach, per_slice
        self._decode = decode
        self._keep = keep
        self._recent: dict[int, Hu] = {}

    def read(self, start: int, stop: int) -> Hu:
        """HU of slices start … stop-1, float32."""
        missing = [k for k in range(start, stop) if k not in self._recent]
        if missing:
            decoded = np.asarray(self._decode(missing[0], missing[-1] + 1), dtype=np.float32)
            self._recent.update(zip(range(missing[0], missing[-1] + 1), decoded, strict=True))
        slices = np.stack([self._recent[k] for k in range(start, stop)])
        # Slices further on stay: another stage has read ahead of this one.
        self._recent = {k: v for k, v in self._recent.items() if k >= start - self._keep}
        return slices


class InPlane:
    """Slices enhanced by a 2D network that sees each with its neighbours.

    At the ends of the stack the first and last slice stand in for missing neighbours.

    Args:
        source: where slices come from.
        runtime: runs the network.
        code: style code (1, style_dim).
        strength: 0 … 1.
        scale: factors along rows and columns.
    """

    def __init__(
        self, source: SliceSource, runtime: Runtime, code: Tensor, strength: float, scale: Sequence[int]
    ) -> None:
        slices, rows, columns = source.shape
        self.shape: tuple[int, int, int] = (slices, rows * scale[0], columns * scale[1])
        self.per_slice = source.per_slice
        self.reach = source.reach + math.ceil(runtime.network.depth_reach / source.per_slice)
        self._source, self._runtime, self._code = source, runtime, code
        self._strength, self._scale = strength, list(scale)

    def read(self, start: int, stop: int) -> Hu:
        """Enhanced HU of slices start … stop-1."""
        base, correction = self.base_and_correction(range(start, stop))
        return np.asarray(base + self._strength * correction)

    def base_and_correction(self, wanted: Sequence[int]) -> tuple[Hu, Hu]:
        """The two terms for some slices (in increasing order), each (len(wanted), rows, columns)."""
        parts = self._runtime.lanes.map(self._run, (self._context(k) for k in wanted))
        return np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts])

    def _context(self, k: int) -> Hu:
        """A slice with its neighbours."""
        reach, last = self._runtime.network.centre, self.shape[0] - 1
        low, high = max(k - reach, 0), min(k + reach, last)
        near = self._source.read(low, high + 1)
        return near[[min(max(i, 0), last) - low for i in range(k - reach, k + reach + 1)]]

    def _run(self, context: Hu) -> tuple[Hu, Hu]:
        base, correction = self._runtime.run(torch.from_numpy(context)[None], self._code, self._scale)
        return base[0, 0].numpy(), correction[0, 0].numpy()


class ThroughPlane:
    """Slices super-resolved through plane by a 3D network, a slab with its halo at a time.

    The thin slices are made to average to the thick ones that `plain` gives, by one step of back-projection: that
    carries over its noise level and its locked HU, which interpolation between slices would lose in bone.

    Args:
        source: where slices come from.
        plain: the same slices enhanced at their own spacing.
        runtime: runs the network.
        code: style code (1, style_dim).
        strength: 0 … 1.
        factor: slices out per slice in.
        slab: slices of input per run, without the halo.
    """

    def __init__(
        self,
        source: SliceSource,
        plain: SliceSource,
        runtime: Runtime,
        code: Tensor,
        strength: float,
        factor: int,
        slab: int,
    ) -> None:
        slices, rows, columns = source.shape
        self.shape: tuple[int, int, int] = (slices * factor, rows, columns)
        self.per_slice = factor
        self.reach = CUBIC_REACH + max(source.reach + runtime.network.depth_reach, plain.reach)
        self._source, self._plain, self._runtime, self._code = source, plain, runtime, code
        self._strength, self._factor, self._slab = strength, factor, slab
        self._between = CubicUpsample((factor, 1, 1))
        self._done: dict[int, Hu] = {}

    @staticmethod
    def halo(runtime: Runtime) -> int:
        """Slices run beyond a slab on either side: those that its outermost kept average depends on."""
        return CUBIC_REACH + runtime.network.depth_reach

    def read(self, start: int, stop: int) -> Hu:
        """Enhanced HU of slices start … stop-1."""
        length = self._slab * self._factor
        first, last = start // length, (stop - 1) // length
        for number in range(first, last + 1):
            if number not in self._done:
                self._done[number] = self._run(number)
        # The one before is context of the stage behind.
        self._done = {n: hu for n, hu in self._done.items() if first - 1 <= n <= last}
        joined = np.concatenate([self._done[n] for n in range(first, last + 1)])
        return joined[start - first * length : stop - first * length]

    def _run(self, number: int) -> Hu:
        total, reach, factor = self._source.shape[0], self._runtime.network.depth_reach, self._factor
        start, stop = number * self._slab, min((number + 1) * self._slab, total)
        # Slices whose average counts for those that are kept: the cubic interpolation reaches two.
        near, far = max(start - CUBIC_REACH, 0), min(stop + CUBIC_REACH, total)
        low, high = max(near - reach, 0), min(far + reach, total)
        slab = torch.from_numpy(self._source.read(low, high))[None, None]
        base, correction = self._runtime.run(slab, self._code, [factor, 1, 1])
        thin = (base + self._strength * correction)[:, :, (near - low) * factor : (far - low) * factor]
        thick = torch.from_numpy(self._plain.read(near, far))[None, None]
        average = thin.reshape(1, 1, far - near, factor, *thin.shape[3:]).mean(dim=3)
        # Padding and metal pass through, so that their neighbours' differences must not reach them.
        seen = slab[:, :, near - low : far - low].repeat_interleave(factor, dim=2)
        thin = torch.where((seen < HU_MIN) | (seen > HU_MAX), seen, thin + self._between(thick - average))
        return np.asarray(thin[0, 0, (start - near) * factor : (stop - near) * factor].numpy(), dtype=np.float32)
