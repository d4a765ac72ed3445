"""Hounsfield units: the range networks see, display windows and tissue ranges, each with its source."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

HU_MIN: Final = -1024.0
"""Smallest value a 12-bit CT image with intercept -1024 can hold; below it is padding."""
HU_MAX: Final = 3071.0
"""Largest value a 12-bit CT image with intercept -1024 can hold; above it is metal on an extended scale."""


class Window(NamedTuple):
    """A display window in HU, as in WindowCenter (0028,1050) and WindowWidth (0028,1051)."""

    center: float
    width: float

    @property
    def low(self) -> float:
        """Lower end in HU."""
        return self.center - self.width / 2

    @property
    def high(self) -> float:
        """Upper end in HU."""
        return self.center + self.width / 2


WINDOWS: Final[dict[str, Window]] = {
    # Lung and soft tissue (mediastinum): the windows of RSNA's CT chest reporting convention.
    "lung": Window(-600, 1500),
    "soft tissue": Window(40, 400),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
}


class TissueRange(NamedTuple):
    """Half-open HU interval that stands for one tissue class."""

    low: float
    high: float


TISSUES: Final[dict[str, TissueRange]] = {
    # Kalender, Computed Tomography, 3rd ed. 2011, fig. 1.13 (CT values of organs and tissues);
    # intervals do not touch, so that partial-volume voxels between two tissues belong to neither.
    "air": TissueRange(-1024, -950),
    "lung": TissueRange(-920, -700),
    "fat": TissueRange(-130, -50),
    "soft tissue": TissueRange(0, 100),
    "bone": TissueRange(250, 1500),
}


def to_int16(hu: NDArray[Any]) -> NDArray[np.int16]:
    """Round HU half to even and saturate to signed 16-bit, the type in files (slope 1, intercept 0).

    Raises:
        ValueError: if `hu` has a value that is not finite.
    """
    if hu.dtype == np.int16:
        return hu
    if np.issubdtype(hu.dtype, np.floating) and not np.isfinite(hu).all():
        raise ValueError("HU array has values that are not finite")
    info = np.iinfo(np.int16)
    rounded: NDArray[np.int16] = np.clip(np.rint(hu), info.min, info.max).astype(np.int16)
    return rounded
