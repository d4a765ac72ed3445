"""From headers to series: what cannot be one volume is kept apart, what cannot be used is named with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset

from med_stylesr.errors import InputError
from med_stylesr.io.attributes import integer, number, numbers, word, words
from med_stylesr.io.codestream import LOSSY_METHODS
from med_stylesr.io.ct_slice import MULTIFRAME, broken_geometry, broken_pixels, not_a_ct_image, not_grey
from med_stylesr.io.header import HeaderFile
from med_stylesr.io.multiframe import frame_headers
from med_stylesr.io.phases import Phase, Slice, separate
from med_stylesr.io.series import DicomSeries, Skipped, SliceFile
from med_stylesr.io.stack import arrange

SAME_ORIENTATION: Final = 5e-4
"""Largest difference of direction cosines between slices of one stack (headers round to 4 and more digits)."""
SAME_SPACING: Final = 1e-3
"""Largest relative difference of PixelSpacing between slices of one stack."""
STEP_MM: Final = (0.005, 1000.0)
"""Thickness or spacing of a single slice that is believed."""
_SOP_CLASS_UID: Final = 0x00080016
FALLBACK_STEP_MM: Final = 1.0
"""Step of a single slice that gives neither SpacingBetweenSlices nor SliceThickness."""


def group(files: Iterable[HeaderFile]) -> tuple[list[DicomSeries], list[Skipped]]:
    """CT series of the given files, in order of their UIDs, and what of them is not used.

    Slices are kept apart by SeriesInstanceUID, FrameOfReferenceUID, matrix, kernel, orientation and pixel spacing, and
    by phase where several share a place.
    """
    skipped: list[Skipped] = []
    stacks: dict[tuple[str, ...], list[list[Slice]]] = defaultdict(list)
    for file in files:
        slices, reason = _slices(file)
        if reason:
            skipped.append(reason)
        for one in slices:
            _assign(one, stacks[_key(one.header)])
    by_series: dict[str, list[list[Slice]]] = defaultdict(list)
    for key, members in stacks.items():
        by_series[key[0]].extend(members)
    series: list[DicomSeries] = []
    for uid in sorted(by_series):
        for phase in _phases(uid, by_series[uid], skipped):
            series.append(_series(phase))
    return series, skipped


def _slices(file: HeaderFile) -> tuple[list[Slice], Skipped | None]:
    """Slices of one file, or why it has none; a damaged file never stops the others."""
    try:
        return _checked_slices(file)
    except InputError as error:
        return [], Skipped(str(file.path), f"{error.why}; {error.todo}", problem=True)
    except Exception as error:
        # pydicom converts values when they are first used, and raises whatever it stumbles over in a damaged one.
        reason = f"has damaged values ({type(error).__name__}: {error}); export it again"
        return [], Skipped(str(file.path), reason, problem=True)


def _checked_slices(file: HeaderFile) -> tuple[list[Slice], Skipped | None]:
    name = str(file.path)
    if file.marked and _has_lost_its_class(file):
        why = "no DICOM image can be told in it: its SOP class is missing (cut off?); copy or export it again"
        return [], Skipped(name, why, problem=True)
    reason = not_a_ct_image(file.header)
    if reason:
        return [], Skipped(name, reason)
    if file.pixel_offset is None:
        return [], Skipped(name, "has no pixel data (cut off?); copy or export it again", problem=True)
    # Only of a file with pixels: one that is cut may end inside PhotometricInterpretation.
    reason = not_grey(file.header)
    if reason:
        return [], Skipped(name, reason)
    headers = frame_headers(file.header) if word(file.header, "SOPClassUID") in MULTIFRAME else [file.header]
    if len(headers) == 1 and (integer(file.header, "NumberOfFrames") or 1) > 1:
        return [], Skipped(name, "several frames in a single-frame CT image; export it again", problem=True)
    found = []
    for k, header in enumerate(headers):
        wrong = broken_pixels(header) or broken_geometry(header)
        if wrong:
            return [], Skipped(name, wrong, problem=True)
        where = SliceFile(file.path, file.transfer_syntax, file.pixel_offset, k, len(headers))
        found.append(Slice(header, where, np.array(numbers(header, "ImagePositionPatient", 3))))
    return found, None


def _has_lost_its_class(file: HeaderFile) -> bool:
    """Whether nothing says what this was; it may have been CT (every DICOM object has a class, PS3.3 C.12.1)."""
    given = word(file.header, "SOPClassUID")
    if not given:
        return not word(file.header, "Modality") and "DirectoryRecordSequence" not in file.header
    # A file that is cut may end inside of its class.
    return file.pixel_offset is None and given not in UID_dictionary and max(file.header.keys()) == _SOP_CLASS_UID


def _key(header: Dataset) -> tuple[str, ...]:
    matrix = f"{integer(header, 'Rows')} x {integer(header, 'Columns')}"
    kernel = "\\".join(words(header, "ConvolutionKernel"))
    return (word(header, "SeriesInstanceUID"), word(header, "FrameOfReferenceUID"), matrix, kernel)


def _assign(one: Slice, stacks: list[list[Slice]]) -> None:
    """Put the slice to the stack of its orientation and spacing, or start a new one."""
    orientation = np.array(numbers(one.header, "ImageOrientationPatient", 6))
    spacing = np.array(numbers(one.header, "PixelSpacing", 2))
    for stack in stacks:
        other_orientation = np.array(numbers(stack[0].header, "ImageOrientationPatient", 6))
        other_spacing = np.array(numbers(stack[0].header, "PixelSpacing", 2))
        same_way = np.abs(orientation - other_orientation).max() <= SAME_ORIENTATION
        if same_way and np.abs(spacing / other_spacing - 1).max() <= SAME_SPACING:
            stack.append(one)
            return
    stacks.append([one])


def _phases(uid: str, stacks: Sequence[list[Slice]], skipped: list[Skipped]) -> list[Phase]:
    labels = _labels([stack[0].header for stack in stacks])
    found: list[Phase] = []
    for stack, label in zip(stacks, labels, strict=True):
        try:
            phases = separate(stack)
        except InputError as error:
            skipped.append(Skipped(f"series {uid}", str(error), problem=True))
            continue
        if phases is None:
            why = "several different slices lie at the same place and nothing in their headers tells them apart"
            skipped.append(Skipped(f"series {uid}", f"{why}; export each phase as a series of its own", problem=True))
            continue
        found.extend(Phase(p.slices, ", ".join(t for t in (label, p.label) if t), p.warnings) for p in phases)
    return sorted(found, key=lambda p: p.label)


def _labels(headers: Sequence[Dataset]) -> list[str]:
    """What tells each stack of a series from the others."""
    seen = {
        "kernel": ["\\".join(words(h, "ConvolutionKernel")) for h in headers],
        "frame of reference": [word(h, "FrameOfReferenceUID") for h in headers],
        "matrix": [f"{integer(h, 'Rows')} x {integer(h, 'Columns')}" for h in headers],
        "orientation": ["\\".join(words(h, "ImageOrientationPatient")) for h in headers],
        "pixel spacing": ["\\".join(words(h, "PixelSpacing")) for h in headers],
    }
    telling = {what: values for what, values in seen.items() if len(set(values)) > 1}
    return [
        ", ".join(f"{what} {values[k] or 'absent'}" for what, values in telling.items()) for k in range(len(headers))
    ]


def _series(phase: Phase) -> DicomSeries:
    first = phase.slices[0].header
    origins = np.array([one.origin_mm for one in phase.slices])
    orientation = numbers(first, "ImageOrientationPatient", 6) or ()
    spacing = numbers(first, "PixelSpacing", 2) or ()
    given = (number(first, "SpacingBetweenSlices"), number(first, "SliceThickness"))
    low, high = STEP_MM
    single_step = next((abs(s) for s in given if s and low <= abs(s) <= high), FALLBACK_STEP_MM)
    stack = arrange(origins, orientation, spacing, single_step)
    ordered = [phase.slices[k] for k in stack.order]
    return DicomSeries(
        headers=tuple(one.header for one in ordered),
        files=tuple(one.file for one in ordered),
        affine=stack.affine,
        slice_origins_mm=stack.slice_origins_mm,
        warnings=phase.warnings + stack.warnings + _lossy_warning(ordered),
        part=phase.label,
    )


def _lossy_warning(slices: Sequence[Slice]) -> tuple[str, ...]:
    lossy = any(
        one.file.transfer_syntax in LOSSY_METHODS or word(one.header, "LossyImageCompression") == "01" for one in slices
    )
    return ("pixels were stored with lossy compression, which changed noise and detail before",) if lossy else ()
