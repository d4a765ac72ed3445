"""What does processing do to low-contrast lesions? Inserted lesions and a model observer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.detectability import ObserverResult, Task, hotelling_observer, insert_lesions
from med_stylesr.metrics.regions import Roi

Process = Callable[[NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class LesionResult:
    """What became of a lesion in one way of processing.

    Attributes:
        observer: how well its presence is told from its absence.
        left_hu: mean over the regions of the result with it minus the result without it, HU (rows, columns).
        contrast_kept: the share of what was put in that this is; 1 where all of the contrast is left.
        example_hu: the first region with it, HU (rows, columns).
    """

    observer: ObserverResult
    left_hu: NDArray[np.float64]
    contrast_kept: float
    example_hu: NDArray[np.float64]


def lesion_study(
    hu: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    processes: Mapping[str, Process],
    tasks: Sequence[Task],
    rois: Sequence[Roi],
    *,
    blur_mm: float,
    seed: int = 0,
    begin: Callable[[Task | None], None] = lambda task: None,
) -> dict[Task, dict[str, LesionResult]]:
    """Put a lesion into every region, process the scan with and without them, and let an observer tell them apart.

    The scan is processed whole, so that the method sees lesions in their surroundings. Signal and place are known to
    the observer: what it loses, the processing has removed.

    Args:
        hu: HU, shape (slices, rows, columns): the low-dose scan.
        spacing_mm: voxel spacing (slice, row, column).
        processes: name → HU of the scan to HU on the same grid; include the identity for the unprocessed scan. Only
            slices with regions are looked at.
        tasks: the lesions, one after the other.
        rois: where lesions are put, see `regions.flat_rois`; twice the lesion's diameter wide at least. 200 or more
            give useful intervals.
        blur_mm: standard deviation of the scan's own blur.
        seed: of the observer's split and bootstrap.
        begin: told what is processed next: None for the scan without lesions, then every lesion.

    Returns:
        Task to name to result.

    Raises:
        ValueError: for fewer regions than the observer needs, or a result of another shape.
    """
    begin(None)
    without = hu.astype(np.float32)
    absent = {name: _regions(process(without), rois, hu.shape) for name, process in processes.items()}
    results: dict[Task, dict[str, LesionResult]] = {}
    for task in tasks:
        begin(task)
        lesions = insert_lesions(hu, rois, (spacing_mm[1], spacing_mm[2]), task, blur_mm=blur_mm)
        put_in = (_regions(lesions, rois, hu.shape) - _regions(without, rois, hu.shape)).mean(axis=0)
        results[task] = {}
        for name, process in processes.items():
            present = _regions(process(lesions), rois, hu.shape)
            left = (present - absent[name]).mean(axis=0)
            observer = hotelling_observer(present, absent[name], spacing_mm[2], seed=seed)
            kept = float((left * put_in).sum() / (put_in**2).sum())
            results[task][name] = LesionResult(observer, left, kept, present[0])
    return results


def _regions(hu: NDArray[Any], rois: Sequence[Roi], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if hu.shape != shape:
        raise ValueError(f"processing changed the grid from {shape} to {hu.shape}")
    return np.stack([roi.cut(hu) for roi in rois]).astype(np.float64) if rois else np.zeros((0, 1, 1))
