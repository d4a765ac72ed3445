"""From the figures of every scan to the numbers of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from med_stylesr.metrics.bias import MIN_VOXELS
from med_stylesr.metrics.statistics import concordance
from med_stylesr.metrics.texture import BANDS_PER_MM

Records = Mapping[str, Mapping[str, Any]]
"""Scan → figures of `benchmarks.measure`."""


def fidelity(records: Records, convention: str, figure: str) -> dict[str, float]:
    """A figure of every scan."""
    return {scan: float(r["fidelity"][convention][figure]) for scan, r in records.items()}


def mean(values: Mapping[str, float] | Sequence[float]) -> float:
    """Mean of what is a number; NaN of nothing."""
    numbers = [v for v in (values.values() if isinstance(values, Mapping) else values) if np.isfinite(v)]
    return float(np.mean(numbers)) if numbers else float("nan")


def tissue_shift(records: Records) -> dict[str, tuple[float, float]]:
    """Tissue → mean HU of result minus input over all voxels, and that of the scan where it is largest."""
    found: dict[str, list[tuple[int, float]]] = {}
    for r in records.values():
        for tissue, (voxels, shift) in r["shift_hu"].items():
            if voxels >= MIN_VOXELS:
                found.setdefault(tissue, []).append((voxels, shift))
    return {
        tissue: (
            float(np.average([s for _, s in rows], weights=[v for v, _ in rows])),
            max((s for _, s in rows), key=abs),
        )
        for tissue, rows in found.items()
    }


def band_ratios(records: Records) -> dict[str, tuple[float, float, float]]:
    """Band → noise power over that of normal dose: geometric mean over scans, lowest, highest."""
    table = {}
    for band in BANDS_PER_MM:
        ratios = []
        for r in records.values():
            own, normal = r["spectrum"]["bands"][band] if r["spectrum"] else (float("nan"),) * 2
            if own is not None and normal is not None and np.isfinite(own) and normal > 0:
                ratios.append(own / normal)
        if ratios:
            table[band] = (float(np.exp(np.log(ratios).mean())), min(ratios), max(ratios))
    return table


def frequency_shift(records: Records, which: str) -> float:
    """Mean over scans of |f − f of normal dose| / f of normal dose; `which` is peak_per_mm or mean_per_mm."""
    pairs = [r["spectrum"][which] for r in records.values() if r["spectrum"]]
    return mean([abs(own / normal - 1) for own, normal in pairs])


def sharpness(records: Records) -> float:
    """Mean over scans of the half-value frequency at the skin over that of normal dose."""
    pairs = [r["f50"] for r in records.values()]
    return mean([own / normal for own, normal in pairs if own and normal])


def structure(records: Records) -> float:
    """Mean structure index over the scans that have one."""
    return mean([r["structure"] for r in records.values() if r["structure"] is not None])


def radiomic_concordance(records: Records) -> dict[str, float]:
    """Feature → concordance of result and normal dose over the patches of all scans."""
    pairs: dict[str, list[list[float]]] = {}
    for r in records.values():
        for name, values in r["radiomics"].items():
            pairs.setdefault(name, []).extend(values)
    return {name: concordance(*np.array(values).T) for name, values in pairs.items()}
