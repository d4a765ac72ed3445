"""Recognisable visual features: finds axial CT slices of a head and takes the face off (PS3.15 section E.3.2).

The face is removed slice by slice: everything within a depth of the skin on the front half of the head becomes air.
The surface that is left follows the eroded head, so nose, lips and eyelids leave no shape behind.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from med_stylesr.deid.frames import Frames
from med_stylesr.errors import InputError

DEPTH_MM: Final = 25.0
"""A nose stands out 20 to 25 mm (Farkas, Anthropometry of the Head and Face, 2nd ed. 1994)."""
BODY_HU: Final = -300.0
AIR_HU: Final = -1000.0
BONE_HU: Final = 250.0
_HEAD_MM: Final = (110.0, 290.0)
"""Width and length of a head in an axial slice, with hair and ears; a chest is wider, an arm is thinner."""
_CLOSED_SKULL: Final = 0.5
"""Part of the section that bone encloses above the orbits; at the level of the face it is open."""
_WORDS: Final = re.compile(
    r"head|brain|skull|cranium|cranial|cereb|face|facial|sinus|orbit|maxillo|mandib|jaw|dental|kopf|schädel|hirn|neuro",
    re.IGNORECASE,
)


def shows_head(dataset: Dataset, frames: Frames) -> bool:
    """Whether a CT shows a head, by its header or by the size and bone of what is in the slice.

    Args:
        dataset: header.
        frames: pixels.

    Raises:
        InputError: if a CT has no pixel spacing to judge the size by.
    """
    if str(dataset.get("Modality", "")) != "CT":
        return False
    keywords = ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")
    if any(_WORDS.search(str(dataset.get(keyword, ""))) for keyword in keywords):
        return True
    return any(_looks_like_head(_hounsfield(dataset, frames.read(i)), _spacing(dataset)) for i in range(frames.number))


def deface(dataset: Dataset, frames: Frames) -> None:
    """Replace the front of the head by air, in place, in every frame.

    Raises:
        InputError: if the slices are not axial, so that front and back cannot be told.
    """
    front = _front(dataset)
    slope, intercept = _rescale(dataset)
    air = round((AIR_HU - intercept) / slope)
    limits = np.iinfo(frames.dtype)
    for index in range(frames.number):
        frame = frames.writable(index)
        frame[face_mask(_hounsfield(dataset, frame), _spacing(dataset), front)] = np.clip(air, limits.min, limits.max)


def face_mask(hu: NDArray[Any], spacing_mm: tuple[float, float], front: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels within `DEPTH_MM` of the skin on the front half, the air before the face included.

    Args:
        hu: slice in HU, shape (rows, columns).
        spacing_mm: of rows and columns.
        front: unit step in (row, column) that leads to the front.
    """
    body = _largest(ndimage.binary_opening(hu > BODY_HU, iterations=2))
    if not body.any():
        return np.zeros(hu.shape, dtype=np.bool_)
    solid = ndimage.binary_fill_holes(body)
    depth = ndimage.distance_transform_edt(solid, sampling=spacing_mm)
    rows, columns = np.nonzero(solid)
    along = np.indices(hu.shape)[0] * front[0] + np.indices(hu.shape)[1] * front[1]
    middle = (rows * front[0] + columns * front[1]).mean()
    mask: NDArray[np.bool_] = (along > middle) & (depth < DEPTH_MM)
    # Where the skull is closed there is no face but skin on bone: the brain behind it stays.
    vault = ndimage.binary_fill_holes(_largest(body & (hu > BONE_HU)))
    if vault.sum() > _CLOSED_SKULL * solid.sum():
        mask &= ~vault
    return mask


def _looks_like_head(hu: NDArray[Any], spacing_mm: tuple[float, float]) -> bool:
    step = 4
    body = _largest(hu[::step, ::step] > BODY_HU)
    rows, columns = np.nonzero(body)
    if rows.size == 0:
        return False
    extent = (np.ptp(rows) * step * spacing_mm[0], np.ptp(columns) * step * spacing_mm[1])
    if not all(_HEAD_MM[0] <= mm <= _HEAD_MM[1] for mm in extent):
        return False
    # A skull is a closed ring: filling what bone encloses gives most of the section.
    bone = ndimage.binary_closing(body & (hu[::step, ::step] > BONE_HU), iterations=2)
    enclosed = ndimage.binary_fill_holes(bone)
    return bool(enclosed.sum() > 0.35 * body.sum())


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, number = ndimage.label(mask)
    if number == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest


def _front(dataset: Dataset) -> tuple[int, int]:
    orientation = dataset.get("ImageOrientationPatient")
    if orientation is None or len(orientation) != 6:
        raise InputError("pixel data", "the scan shows a head without orientation, so the face cannot be found")
    along_columns, along_rows = (np.array([float(v) for v in part]) for part in (orientation[:3], orientation[3:]))
    # In LPS the front is -y.
    toward = {(0, 1): -along_columns[1], (1, 0): -along_rows[1], (0, -1): along_columns[1], (-1, 0): along_rows[1]}
    best = max(toward, key=lambda step: toward[step])
    if toward[best] < 0.7:
        raise InputError("pixel data", "the scan shows a head in other than axial slices; the face cannot be removed")
    return best


def _hounsfield(dataset: Dataset, frame: NDArray[Any]) -> NDArray[np.float32]:
    slope, intercept = _rescale(dataset)
    return np.asarray(frame * np.float32(slope) + np.float32(intercept), dtype=np.float32)


def _rescale(dataset: Dataset) -> tuple[float, float]:
    return float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)


def _spacing(dataset: Dataset) -> tuple[float, float]:
    spacing = dataset.get("PixelSpacing")
    if spacing is None or len(spacing) != 2:
        raise InputError("pixel data", "there is no pixel spacing, so a head cannot be told from other parts")
    return float(spacing[0]), float(spacing[1])
