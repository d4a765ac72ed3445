"""The scans of the benchmark: held-out normal-dose slices, the noise that lower doses would add, and what is measured.

Three disjoint sets: networks are trained on `cache/train`, filters are tuned on `cache/benchmark/tune`, and everything
is measured on `cache/benchmark/test`. No slice of the test set takes part in any choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan, open_cache
from med_stylesr.hu import HU_MAX, HU_MIN

Hu = NDArray[np.float32]
MEASURED: Final = 3
"""Neighbouring slices of every volume that methods are measured on; the structure index needs three."""
CONTEXT: Final = 1
"""Further slices on either side for methods that look at neighbours."""


@dataclass(frozen=True)
class BenchmarkScan:
    """Some slices of a scan at normal dose, and noise to lower it.

    Attributes:
        name: of the scan.
        normal: HU (slices, rows, columns) as scanned.
        noise: noise that dose fraction `noise_dose` adds, same shape.
        noise_dose: see `noise`.
        spacing_mm: slice, row, column.
        wanted: slices that are measured; the others are context.
    """

    name: str
    normal: Hu
    noise: Hu
    noise_dose: float
    spacing_mm: tuple[float, float, float]
    wanted: tuple[int, ...]

    def low_dose(self, dose: float, sign: int = 1) -> Hu:
        """The scan at a dose fraction, as stored; `sign` −1 gives noise of equal statistics, opposite everywhere."""
        gain = math.sqrt((1 / dose - 1) / (1 / self.noise_dose - 1))
        return np.asarray(self.normal + np.float32(sign * gain) * self.noise).clip(HU_MIN, HU_MAX)

    @property
    def key(self) -> str:
        """Tells results on this piece of the scan from those on others, and from those on noise stored otherwise."""
        return f"{self.name} {'x'.join(map(str, self.normal.shape))} stored"

    @property
    def target(self) -> Hu:
        """The measured slices at normal dose."""
        return self.normal[list(self.wanted)]


def middle(slices: int) -> tuple[slice, tuple[int, ...]]:
    """Slices to take of a scan, and which of those are measured."""
    if slices < MEASURED + 2 * CONTEXT:
        return slice(0, slices), tuple(range(slices))
    start = (slices - MEASURED) // 2 - CONTEXT
    return slice(start, start + MEASURED + 2 * CONTEXT), tuple(range(CONTEXT, CONTEXT + MEASURED))


def scans(cache: Path, edge: int | None = None) -> Iterator[BenchmarkScan]:
    """The middle slices of every scan of a cache; only their middle `edge` × `edge` pixels if that is given."""
    for scan in open_cache(cache):
        piece = cut(scan, *middle(len(scan.hu)))
        yield piece if edge is None else centre(piece, edge)


def whole(cache: Path, name: str, edge: int) -> BenchmarkScan:
    """All slices of one scan, all measured, but only their middle."""
    scan = open_cache(cache, [name])[0]
    return centre(cut(scan, slice(0, len(scan.hu)), tuple(range(len(scan.hu)))), edge)


def centre(scan: BenchmarkScan, edge: int) -> BenchmarkScan:
    """The middle `edge` × `edge` pixels of every slice, or all of a smaller one."""
    top, left = (max(0, (n - edge) // 2) for n in scan.normal.shape[1:])
    window = np.s_[:, top : top + edge, left : left + edge]
    return replace(scan, normal=scan.normal[window], noise=scan.noise[window])


def cut(scan: CachedScan, taken: slice, wanted: tuple[int, ...]) -> BenchmarkScan:
    """Some slices of a cached scan, HU clipped to those of CT: padding is no anatomy, and no dose changes it."""
    scanned = scan.hu[taken].astype(np.float32)
    normal = scanned.clip(HU_MIN, HU_MAX)
    noise = np.where(scanned < HU_MIN, np.float32(0), scan.noise[0, taken].astype(np.float32) / STORED_PER_HU)
    return BenchmarkScan(scan.name, normal, noise, scan.doses[0], scan.spacing_mm, wanted)
