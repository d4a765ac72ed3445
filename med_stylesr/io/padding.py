"""Pixels that a header declares to be padding: their HU, and where they go when 16 bits cannot hold those."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.io.attributes import integer, number

_INT16: Final = np.iinfo(np.int16)
FAR_PADDING_HU: Final = _INT16.min
"""What padding becomes whose own HU no file written here can hold, such as 65535 stored with intercept -1024."""


def padding_hu(header: Dataset) -> tuple[int, int] | None:
    """Lowest and highest HU, as read and written here, that a header declares to be padding (PS3.3 C.7.5.1.1.2).

    None if it declares none, or what is no padding by its HU: only what lies outside of CT numbers of tissue and metal
    passes through an enhancement untouched.
    """
    declared = _declared_hu(header)
    if declared is None:
        return None
    if not _fits(declared):
        return FAR_PADDING_HU, FAR_PADDING_HU
    low, high = (int(np.rint(np.float32(limit))) for limit in declared)
    return low, high


def far_padding_moved(hu: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """HU of a slice with declared padding beyond 16 bits moved to `FAR_PADDING_HU`; int16 if they then are such.

    Left where it is, it would be saturated to 32767 HU, which nothing tells from metal.

    Args:
        hu: int16 or float32.
        header: of the slice.
    """
    declared = _declared_hu(header) if hu.dtype != np.int16 else None
    if declared is None or _fits(declared):
        return hu
    low, high = (np.float32(limit) for limit in declared)
    moved: NDArray[Any] = np.where((hu >= low) & (hu <= high), np.float32(FAR_PADDING_HU), hu)
    if moved.min() < _INT16.min or moved.max() > _INT16.max or (moved != np.rint(moved)).any():
        return moved
    return moved.astype(np.int16)


def _fits(declared: tuple[float, float]) -> bool:
    low, high = np.rint(declared)
    return bool(low >= _INT16.min and high <= _INT16.max)


def _declared_hu(header: Dataset) -> tuple[float, float] | None:
    """Lowest and highest HU of declared padding if they are none of tissue or metal."""
    first = integer(header, "PixelPaddingValue")
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if first is None or slope is None or intercept is None:
        return None
    last = integer(header, "PixelPaddingRangeLimit")
    signed = integer(header, "PixelRepresentation") == 1
    # Many scanners write the value as unsigned whatever the pixels are, and some the other way round.
    stored = [_as_stored(v, signed) for v in (first, first if last is None else last)]
    low, high = sorted(slope * v + intercept for v in stored)
    return (low, high) if np.rint(high) < HU_MIN or np.rint(low) > HU_MAX else None


def _as_stored(value: int, signed: bool) -> int:
    if signed:
        return value - 65536 if value > _INT16.max else value
    return value + 65536 if value < 0 else value
