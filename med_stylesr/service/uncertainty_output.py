"""Per-voxel uncertainty as a result of its own: a derived series beside the enhanced one, or a volume file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from med_stylesr.io.derivation import STANDARD_DEVIATION, Derivation
from med_stylesr.io.volume_file import volume_ending

SERIES_NUMBER_OFFSET: Final = 9500
"""Added to SeriesNumber: behind the enhanced series, which has 9000."""
STEPS_PER_HU: Final = 10
"""Whole HU would be too coarse: most voxels lie between 0 and 5 HU. RescaleSlope says what a step is."""
_WINDOW: Final = ("10", "20")
"""Centre and width in HU: from none to twice what is usual."""

Transform = Callable[[Dataset], Dataset]


def uncertainty_derivation(derivation: Derivation) -> Derivation:
    """What the uncertainty's series says of its making, from what the enhanced one says."""
    return replace(
        derivation,
        summary="Uncertainty of an enhanced CT: standard deviation over four mirror images, in HU (research use only)",
        codes=(STANDARD_DEVIATION,),
        series_suffix=f"{derivation.series_suffix} uncertainty (SD, HU)",
        series_number_offset=SERIES_NUMBER_OFFSET,
    )


def stored_steps(spread_hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Uncertainty in the steps that a DICOM series stores."""
    return np.asarray(spread_hu * np.float32(STEPS_PER_HU))


def described_steps(then: Transform | None) -> Transform:
    """Hook for `DerivedSeriesWriter` that says what a step is, how to show it, and that it is no picture of a patient.

    Args:
        then: applied after it.
    """

    def describe(dataset: Dataset) -> Dataset:
        dataset.RescaleSlope = str(1 / STEPS_PER_HU)
        dataset.WindowCenter, dataset.WindowWidth = _WINDOW
        dataset.pop("WindowCenterWidthExplanation", None)
        dataset.pop("VOILUTFunction", None)
        dataset.ImageType = [*dataset.ImageType, "UNCERTAINTY"]
        return then(dataset) if then else dataset

    return describe


def uncertainty_file(path: Path) -> Path:
    """Volume file of the uncertainty beside that of the result: `a.nii.gz` → `a_uncertainty.nii.gz`."""
    ending = volume_ending(path)
    return path.with_name(f"{path.name[: -len(ending)]}_uncertainty{ending}")
