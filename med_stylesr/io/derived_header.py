"""Header of each slice of a derived series: kept attributes, recomputed geometry, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.config import RAISE
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import format_number_as_ds, validate_value

from med_stylesr.geometry import VoxelGrid
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.io.attributes import integer, number, numbers, text, word, words
from med_stylesr.io.codestream import LOSSY_METHODS
from med_stylesr.io.ct_conditions import complete
from med_stylesr.io.derivation import PROCESSING_EQUIPMENT, SOURCE_IMAGE, Derivation, derived_uid
from med_stylesr.io.kept_header import KeptHeader
from med_stylesr.io.series import DicomSeries

_MAX_LO: Final = 64
_MAX_IS: Final = 2**31 - 1
_EXACT: Final = 1e-6


class DerivedHeader:
    """Makes the header of each slice; see `DerivedSeriesWriter` for the arguments."""

    def __init__(
        self, series: DicomSeries, grid: VoxelGrid, derivation: Derivation, slice_origins_mm: NDArray[np.float64] | None
    ) -> None:
        self._series, self._grid, self._derivation = series, grid, derivation
        k = np.arange(grid.shape[0])
        regular = grid.positions(np.stack([0 * k, 0 * k, k], axis=1))
        self._origins: NDArray[np.float64] = regular if slice_origins_mm is None else slice_origins_mm
        self._source_depth = series.origins_mm @ grid.normal
        self._kept = KeptHeader()
        where = np.round(np.concatenate([grid.affine.ravel(), self._origins.ravel()]), 4).tolist()
        sources = [f"{uid}/{file.frame}" for uid, file in zip(series.sop_instance_uids, series.files, strict=True)]
        self._counts_down = _counts_down(series)
        self.series_uid: UID = derived_uid("series", *sources, derivation.identity, grid.shape, where)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the source's headers could not be kept or had to be repaired."""
        return tuple(self._kept.warnings)

    def of(self, index: int, sources: Sequence[int] | None) -> Dataset:
        """Header of slice `index`, complete but for the pixel data.

        Args:
            index: slice of the derived series.
            sources: slices of the source it was made of, or None for those within the derivation's radius.
        """
        place = self._source_index(index)
        source = self._series.headers[round(place)]
        dataset = self._kept.of(source)
        self._fill_required(dataset, source)
        self._identify(dataset, index)
        self._locate(dataset, source, index)
        _describe_pixels(dataset, self._grid)
        self._tell_derivation(dataset, self._sources(place) if sources is None else sources)
        self._carry_lossy_history(dataset, source)
        return dataset

    def padding_hu(self, index: int) -> tuple[int, int] | None:
        """Lowest and highest HU that the source of slice `index` declares to be padding."""
        return padding_hu(self._series.headers[round(self._source_index(index))])

    def _source_index(self, index: int) -> float:
        """Place of an output slice among the source slices, as a fractional index."""
        depth = float(self._origins[index] @ self._grid.normal)
        return float(np.interp(depth, self._source_depth, np.arange(len(self._source_depth))))

    def _sources(self, place: float) -> list[int]:
        radius = self._derivation.source_radius
        first, last = math.floor(place + _EXACT) - radius, math.ceil(place - _EXACT) + radius
        return list(range(max(first, 0), min(last, len(self._series) - 1) + 1))

    def _fill_required(self, dataset: Dataset, source: Dataset) -> None:
        complete(dataset)
        if not dataset.get("StudyInstanceUID"):
            dataset.StudyInstanceUID = derived_uid("study", text(source, "StudyInstanceUID") or self._series.uid)
            self._kept.warnings["StudyInstanceUID of the source is malformed; the derived series has a new one"] = None
        frame_of_reference = word(source, "FrameOfReferenceUID")
        if not _is_uid(frame_of_reference):
            frame_of_reference = derived_uid("frame of reference", dataset.StudyInstanceUID, self._series.uid)
        dataset.FrameOfReferenceUID = frame_of_reference

    def _identify(self, dataset: Dataset, index: int) -> None:
        derivation, first = self._derivation, self._series.headers[0]
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = derived_uid("instance", self.series_uid, index)
        dataset.Modality = "CT"
        dataset.SeriesInstanceUID = self.series_uid
        source_number = integer(first, "SeriesNumber") or 0
        new_number = source_number + derivation.series_number_offset
        dataset.SeriesNumber = str(new_number if abs(new_number) <= _MAX_IS else derivation.series_number_offset)
        source_name = self._series.description.replace("\\", "/")
        room = max(0, _MAX_LO - len(derivation.series_suffix) - 1)
        name = f"{source_name[:room].strip()} {derivation.series_suffix}".strip()[:_MAX_LO]
        dataset.SeriesDescription = name if name.isprintable() else derivation.series_suffix[:_MAX_LO]
        dataset.InstanceNumber = str(self._grid.shape[0] - index if self._counts_down else index + 1)
        moment = _in_source_zone(derivation.created, word(first, "TimezoneOffsetFromUTC"))
        date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
        for what in ("InstanceCreation", "Series", "Content"):
            setattr(dataset, f"{what}Date", date)
            setattr(dataset, f"{what}Time", time)

    def _locate(self, dataset: Dataset, source: Dataset, index: int) -> None:
        grid, source_grid = self._grid, self._series.grid
        dataset.ImagePositionPatient = [_ds(v) for v in self._origins[index]]
        directions = grid.affine[:3, :2] / np.linalg.norm(grid.affine[:3, :2], axis=0)
        own = numbers(source, "ImageOrientationPatient", 6)
        dataset.ImageOrientationPatient = [_ds(v) for v in (own or directions.T.ravel())]
        dataset.PixelSpacing = [_ds(v) for v in grid.spacing_mm[1:]]
        finer = source_grid.plane_distance_mm / grid.plane_distance_mm
        thickness = number(source, "SliceThickness") or self._series.thickness_mm
        dataset.SliceThickness = _ds(thickness / finer) if thickness and thickness > 0 else ""
        if grid.shape[0] > 1 and self._series.slice_origins_mm is None:
            dataset.SpacingBetweenSlices = _ds(grid.plane_distance_mm)
        location = number(source, "SliceLocation")
        if location is not None and len(self._series) == grid.shape[0]:
            dataset.SliceLocation = _ds(location)

    def _tell_derivation(self, dataset: Dataset, sources: Sequence[int]) -> None:
        derivation = self._derivation
        dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        dataset.DerivationDescription = derivation.description
        codes = list(dataset.get("DerivationCodeSequence") or [])
        known = {word(code, "CodeValue") for code in codes}
        dataset.DerivationCodeSequence = codes + [c.dataset() for c in derivation.codes if c.value not in known]
        dataset.SourceImageSequence = self._source_items(sources)
        equipment = Dataset()
        equipment.PurposeOfReferenceCodeSequence = [PROCESSING_EQUIPMENT.dataset()]
        equipment.Manufacturer = derivation.tool
        equipment.ManufacturerModelName = derivation.tool
        equipment.SoftwareVersions = derivation.tool_version
        equipment.ContributionDateTime = derivation.created.strftime("%Y%m%d%H%M%S")
        equipment.ContributionDescription = derivation.summary[:1024]
        dataset.ContributingEquipmentSequence = [*(dataset.get("ContributingEquipmentSequence") or []), equipment]

    def _source_items(self, sources: Sequence[int]) -> list[Dataset]:
        """One item an instance; frames of a multi-frame instance are listed in its item."""
        items: dict[str, Dataset] = {}
        frames: dict[str, list[str]] = {}
        for k in sources:
            header, file = self._series.headers[k], self._series.files[k]
            uid = word(header, "SOPInstanceUID")
            if not _is_uid(uid):
                self._kept.warnings["a malformed SOPInstanceUID of the source is not referred to"] = None
                continue
            item = Dataset()
            item.ReferencedSOPClassUID = word(header, "SOPClassUID") or CTImageStorage
            item.ReferencedSOPInstanceUID = uid
            item.PurposeOfReferenceCodeSequence = [SOURCE_IMAGE.dataset()]
            items.setdefault(uid, item)
            if file.frames > 1:
                frames.setdefault(uid, []).append(str(file.frame + 1))
        for uid, numbered in frames.items():
            items[uid].ReferencedFrameNumber = numbered
        return list(items.values())

    def _carry_lossy_history(self, dataset: Dataset, source: Dataset) -> None:
        syntax = self._series.files[0].transfer_syntax
        method = LOSSY_METHODS.get(syntax)
        if word(source, "LossyImageCompression") != "01" and method is None:
            return
        dataset.LossyImageCompression = "01"
        ratios, methods = words(source, "LossyImageCompressionRatio"), words(source, "LossyImageCompressionMethod")
        if ratios and methods and len(ratios) == len(methods):
            dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = list(ratios), list(methods)
        elif method is not None:
            dataset.LossyImageCompressionMethod = method


def _counts_down(series: DicomSeries) -> bool:
    """Whether the source numbers its slices against their normal, as for a patient scanned from the feet up."""
    given = [integer(header, "InstanceNumber") for header in series.headers]
    known = [n for n in given if n is not None]
    return 1 < len(known) == len(given) and all(a > b for a, b in pairwise(known))


def padding_hu(header: Dataset) -> tuple[int, int] | None:
    """Lowest and highest HU that a source header declares to be padding (PS3.3 C.7.5.1.1.2); None if it declares none.

    Only what lies outside of CT numbers of tissue and metal, since only that passes through an enhancement untouched.
    """
    first = integer(header, "PixelPaddingValue")
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if first is None or slope is None or intercept is None:
        return None
    last = integer(header, "PixelPaddingRangeLimit")
    signed = integer(header, "PixelRepresentation") == 1
    # Many scanners write the value as unsigned whatever the pixels are.
    stored = [v - 65536 if signed and v > 32767 else v for v in (first, first if last is None else last)]
    low, high = sorted(slope * v + intercept for v in stored)
    if not (high < HU_MIN or low > HU_MAX) or not (low.is_integer() and high.is_integer()):
        return None
    return (int(low), int(high)) if low >= -32768 and high <= 32767 else None


def _describe_pixels(dataset: Dataset, grid: VoxelGrid) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = grid.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "HU"
    centers, widths = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if _count(centers) != _count(widths) or not _count(centers):
        for keyword in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"):
            dataset.pop(keyword, None)
    elif "WindowCenterWidthExplanation" in dataset and _count(dataset.WindowCenterWidthExplanation) != _count(centers):
        del dataset.WindowCenterWidthExplanation


def _count(value: object) -> int:
    if value is None or value == "":
        return 0
    return len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 1


def _ds(value: float) -> str:
    """Decimal string of at most 16 characters, as exact as fits, without zeros that only fill it."""
    told = format_number_as_ds(float(value) + 0.0)
    return told.rstrip("0").rstrip(".") if "." in told and "e" not in told.lower() else told


def _is_uid(value: str) -> bool:
    try:
        validate_value("UI", value, RAISE)
    except ValueError:
        return False
    return bool(value)


def _in_source_zone(moment: datetime, offset: str) -> datetime:
    """The moment in the time zone that the source's dates and times are in (TimezoneOffsetFromUTC), if it says so."""
    if moment.tzinfo is None or len(offset) != 5 or not (offset[0] in "+-" and offset[1:].isdigit()):
        return moment
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return moment.astimezone(timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes)))
