"""What the headers of a series tell of how it was scanned and reconstructed."""

from __future__ import annotations

from typing import Final

import numpy as np

from med_stylesr.inference.normal_dose import Acquisition
from med_stylesr.io.attributes import words
from med_stylesr.io.kernel_names import is_iterative, kernel_class
from med_stylesr.io.series import DicomSeries

MOST_TILTED: Final = float(np.cos(np.radians(35.0)))
"""Gantries tilt by up to 30 degrees."""


def acquisition_of(series: DicomSeries) -> Acquisition:
    """Kernel, thickness, pixel spacing and tube voltage, as far as they are told."""
    kernel = words(series.headers[0], "ConvolutionKernel")
    _, row, column = series.grid.spacing_mm
    normal = np.cross(series.affine[:3, 0], series.affine[:3, 1])
    return Acquisition(
        kernel_class=kernel_class(series.manufacturer, kernel),
        thickness_mm=series.thickness_mm,
        pixel_spacing_mm=(row, column),
        kvp=series.kvp,
        axial=bool(abs(normal[2]) >= MOST_TILTED * np.linalg.norm(normal)),
        iterative=is_iterative(series.manufacturer, kernel),
    )
