"""What does processing, at each strength, do to low-contrast lesions? Inserted lesions and a model observer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.detectability import ObserverResult, Task, hotelling_observer, insert_lesions
from med_stylesr.metrics.regions import Roi, flat_rois

Process = Callable[[NDArray[np.float32], float], NDArray[Any]]


def lesion_study(
    hu: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    process: Process,
    strengths: Sequence[float],
    task: Task,
    *,
    blur_mm: float,
    pairs: int,
    region_mm: float,
    seed: int = 0,
) -> dict[float, ObserverResult]:
    """Put a lesion into every flat region, process the scan with and without them, and let an observer tell them apart.

    The scan is processed whole, so that the method sees lesions in their surroundings. Signal and place are known to
    the observer: what it loses, the processing has removed.

    Args:
        hu: HU, shape (slices, rows, columns): the low-dose scan.
        spacing_mm: voxel spacing (slice, row, column).
        process: (HU of the scan, strength) to HU on the same grid; strength 0 gives its input back.
        strengths: which to try; include 0 for the unprocessed scan.
        task: the lesion.
        blur_mm: standard deviation of the scan's own blur.
        pairs: regions wanted; 200 or more give useful intervals.
        region_mm: edge of a region; twice the lesion's diameter at least.
        seed: of the observer's split and bootstrap.

    Returns:
        Strength to result.

    Raises:
        ValueError: if the scan has fewer flat regions than the observer needs, or a result has another shape.
    """
    rois = flat_rois(hu, spacing_mm, size_mm=region_mm, count=pairs)
    with_lesions = insert_lesions(hu, rois, (spacing_mm[1], spacing_mm[2]), task, blur_mm=blur_mm)
    without = hu.astype(np.float32)
    results: dict[float, ObserverResult] = {}
    for strength in strengths:
        present, absent = (_regions(process(scan, strength), rois, hu.shape) for scan in (with_lesions, without))
        results[strength] = hotelling_observer(present, absent, spacing_mm[2], seed=seed)
    return results


def _regions(hu: NDArray[Any], rois: Sequence[Roi], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if hu.shape != shape:
        raise ValueError(f"processing changed the grid from {shape} to {hu.shape}")
    return np.stack([roi.cut(hu) for roi in rois]) if rois else np.zeros((0, 1, 1))
