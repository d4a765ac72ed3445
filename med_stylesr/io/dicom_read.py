"""HU of a CT series: the whole volume, or some slices of it for work in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.io.padding import far_padding_moved
from med_stylesr.io.pixels import hounsfield, stored_values
from med_stylesr.io.series import DicomSeries
from med_stylesr.volume import CTVolume


def read_slices(series: DicomSeries, start: int, stop: int) -> NDArray[Any]:
    """HU of slices start … stop-1.

    Args:
        series: the series.
        start: first slice.
        stop: slice after the last one.

    Returns:
        Array of shape (stop - start, rows, columns): int16 when every slice is exact in it, else float32. Values
        outside [-1024, 3071] (padding, metal) are as the file has them, but for declared padding that 16 bits cannot
        hold (see `far_padding_moved`).

    Raises:
        InputError: if a slice is truncated, damaged, or of another size than its header says.
        ValueError: if the range does not lie in the series.
    """
    if not 0 <= start < stop <= len(series):
        raise ValueError(f"slices {start}:{stop} do not lie in a series of {len(series)}")
    hu: NDArray[Any] = np.empty((stop - start, *series.grid.shape[1:]), dtype=np.int16)
    for k in range(stop - start):
        header = series.headers[start + k]
        one = far_padding_moved(hounsfield(stored_values(series.files[start + k], header), header), header)
        if one.dtype != hu.dtype:
            hu = hu.astype(np.float32, copy=False)
        hu[k] = one
    return hu


def read_volume(series: DicomSeries) -> CTVolume:
    """The series as one volume in HU.

    Raises:
        InputError: as `read_slices`.
    """
    provenance = {
        "format": "dicom",
        "series_instance_uid": series.uid,
        "description": series.description,
        "kernel": series.kernel,
        "thickness_mm": series.thickness_mm,
        "warnings": list(series.warnings),
    }
    return CTVolume(read_slices(series, 0, len(series)), series.affine, provenance, series.slice_origins_mm)
