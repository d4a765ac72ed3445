"""Whether one header describes a CT slice in HU with a place in the patient, and if not, why."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from med_stylesr.io.attributes import integer, number, numbers, shown, word, words

MULTIFRAME: Final = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
MAX_SIDE: Final = 8192
"""Largest Rows or Columns taken for a CT image; ultra-high-resolution scanners make 2048."""
PIXEL_SPACING_MM: Final = (0.005, 20.0)
"""Pixel spacing taken for that of a CT of a patient or of a specimen."""
MAX_POSITION_MM: Final = 1e5
UNIT_TOLERANCE: Final = 0.01
"""How far direction cosines may be off unit length and right angle before the orientation counts as broken."""
_HU_TYPES: Final = ("", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNDSFIELD UNIT", "HOUNSFIELD UNITS")
"""RescaleType of HU (PS3.3 C.11.1.1.2): US (unspecified) is what older scanners write, the long forms (misspelt too)
what reformatting workstations do."""


def not_a_ct_image(header: Dataset) -> str | None:
    """Why this is no CT image at all (other modality, localizer, dose page), or None."""
    sop_class = UID(word(header, "SOPClassUID"), validation_mode=IGNORE)
    modality = word(header, "Modality")
    if "DirectoryRecordSequence" in header:
        return "an index (DICOMDIR); the files are looked for by themselves"
    if modality and modality != "CT":
        return f"modality {shown(header, 'Modality')}, not CT"
    if sop_class and sop_class not in (CTImageStorage, *MULTIFRAME):
        return f"{sop_class.name}, not a CT image"
    if not sop_class and not modality:
        return "no DICOM image"
    image_type = [v.upper() for v in words(header, "ImageType")]
    if "LOCALIZER" in image_type:
        return "localizer"
    rescale_type = word(header, "RescaleType").upper()
    if rescale_type not in _HU_TYPES:
        return f"pixel values are {shown(header, 'RescaleType')}, not HU"
    return None


def not_grey(header: Dataset) -> str | None:
    """Why whole pixels cannot be HU (a colour picture), or None."""
    photometric, samples = word(header, "PhotometricInterpretation"), integer(header, "SamplesPerPixel") or 1
    if samples != 1 or (photometric and not photometric.startswith("MONOCHROME")):
        told = shown(header, "PhotometricInterpretation") if photometric else f"{samples} samples a pixel"
        return f"a colour picture ({told}), no HU"
    return None


def broken_pixels(header: Dataset) -> str | None:
    """Why the description of the pixels cannot be right, or None (PS3.3 C.7.6.3, C.8.2.1)."""
    rows, columns = integer(header, "Rows"), integer(header, "Columns")
    if not rows or not columns or not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        return f"Rows x Columns is {rows} x {columns}; at most {MAX_SIDE} x {MAX_SIDE} is taken"
    allocated, stored, high = (integer(header, k) for k in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated not in (8, 16) or not stored or high is None or not (stored - 1 <= high < allocated):
        return f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high} do not fit together"
    if integer(header, "PixelRepresentation") not in (0, 1):
        return "PixelRepresentation is missing or neither 0 nor 1"
    if not word(header, "PhotometricInterpretation"):
        return "PhotometricInterpretation is missing"
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None or intercept is None or not (1e-6 < abs(slope) < 1e4 and abs(intercept) < 1e6):
        return "RescaleSlope or RescaleIntercept is missing or absurd, so HU are unknown"
    return None


def broken_geometry(header: Dataset) -> str | None:
    """Why the slice has no usable place in the patient, or None (PS3.3 C.7.6.2)."""
    spacing = numbers(header, "PixelSpacing", 2)
    low, high = PIXEL_SPACING_MM
    if spacing is None or not all(low <= s <= high for s in spacing):
        return f"PixelSpacing is {shown(header, 'PixelSpacing')}; two lengths in mm are needed"
    position = numbers(header, "ImagePositionPatient", 3)
    if position is None or max(map(abs, position)) > MAX_POSITION_MM:
        return f"ImagePositionPatient is {shown(header, 'ImagePositionPatient')}; three numbers in mm are needed"
    orientation = numbers(header, "ImageOrientationPatient", 6)
    if orientation is None:
        return (
            f"ImageOrientationPatient is {shown(header, 'ImageOrientationPatient')}; six direction cosines are needed"
        )
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    if max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column)) > UNIT_TOLERANCE:
        return "ImageOrientationPatient is no pair of perpendicular unit vectors"
    if not word(header, "SeriesInstanceUID") or not word(header, "SOPInstanceUID"):
        return "SeriesInstanceUID or SOPInstanceUID is missing"
    return None
