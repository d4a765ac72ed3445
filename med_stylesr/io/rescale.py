"""Stored values to HU by slope and intercept, staying in 16-bit integers where that is exact."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_INT16: Final = np.iinfo(np.int16)
_MAX_INTEGER_FACTOR: Final = 1 << 14
"""Slopes up to this times any 16-bit value plus an intercept stay within 32 bits."""


def rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """HU = slope x stored + intercept (PS3.3 C.11.1): int16 when that is exact, else float32.

    Args:
        stored: any integer or floating type.
        slope: RescaleSlope, or scl_slope of NIfTI.
        intercept: RescaleIntercept, or scl_inter of NIfTI, in HU.
    """
    integral = float(slope).is_integer() and float(intercept).is_integer() and stored.dtype.kind in "iu"
    if not integral or stored.dtype.itemsize > 2 or abs(slope) > _MAX_INTEGER_FACTOR or abs(intercept) > 1 << 20:
        return (stored.astype(np.float64) * slope + intercept).astype(np.float32)
    hu: NDArray[Any] = stored.astype(np.int32)
    if slope != 1:
        hu *= np.int32(slope)
    if intercept:
        hu += np.int32(intercept)
    exact = hu.size == 0 or (hu.min() >= _INT16.min and hu.max() <= _INT16.max)
    return hu.astype(np.int16 if exact else np.float32)
