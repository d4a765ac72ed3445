"""What does processing do to low-contrast lesions? Inserted lesions and a model observer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.detectability import ObserverResult, Task, hotelling_observer, insert_lesions
from med_stylesr.metrics.regions import Roi, flat_rois

Process = Callable[[NDArray[np.float32]], NDArray[Any]]


def lesion_study(
    hu: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    processes: Mapping[str, Process],
    tasks: Sequence[Task],
    *,
    blur_mm: float,
    pairs: int,
    region_mm: float,
    seed: int = 0,
) -> dict[Task, dict[str, ObserverResult]]:
    """Put a lesion into every flat region, process the scan with and without them, and let an observer tell them apart.

    The scan is processed whole, so that the method sees lesions in their surroundings. Signal and place are known to
    the observer: what it loses, the processing has removed.

    Args:
        hu: HU, shape (slices, rows, columns): the low-dose scan.
        spacing_mm: voxel spacing (slice, row, column).
        processes: name → HU of the scan to HU on the same grid; include the identity for the unprocessed scan.
        tasks: the lesions, one after the other.
        blur_mm: standard deviation of the scan's own blur.
        pairs: regions wanted; 200 or more give useful intervals.
        region_mm: edge of a region; twice the lesion's diameter at least.
        seed: of the observer's split and bootstrap.

    Returns:
        Task to name to result.

    Raises:
        ValueError: if the scan has fewer flat regions than the observer needs, or a result has another shape.
    """
    rois = flat_rois(hu, spacing_mm, size_mm=region_mm, count=pairs)
    without = hu.astype(np.float32)
    absent = {name: _regions(process(without), rois, hu.shape) for name, process in processes.items()}
    results: dict[Task, dict[str, ObserverResult]] = {}
    for task in tasks:
        lesions = insert_lesions(hu, rois, (spacing_mm[1], spacing_mm[2]), task, blur_mm=blur_mm)
        results[task] = {
            name: hotelling_observer(_regions(process(lesions), rois, hu.shape), absent[name], spacing_mm[2], seed=seed)
            for name, process in processes.items()
        }
    return results


def _regions(hu: NDArray[Any], rois: Sequence[Roi], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if hu.shape != shape:
        raise ValueError(f"processing changed the grid from {shape} to {hu.shape}")
    return np.stack([roi.cut(hu) for roi in rois]) if rois else np.zeros((0, 1, 1))
