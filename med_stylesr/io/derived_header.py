"""Header of each slice of a derived series: kept attributes, recomputed geometry, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import format_number_as_ds, validate_value

from med_stylesr.geometry import VoxelGrid
from med_stylesr.io.attributes import integer, number, numbers, text, word, words
from med_stylesr.io.codestream import LOSSY_METHODS
from med_stylesr.io.ct_conditions import complete
from med_stylesr.io.derivation import PROCESSING_EQUIPMENT, SOURCE_IMAGE, Derivation, derived_uid
from med_stylesr.io.elements import Value, element, owned, put
from med_stylesr.io.kept_header import KeptHeader
from med_stylesr.io.padding import padding_hu
from med_stylesr.io.series import DicomSeries

_MAX_LO: Final = 64
_MAX_IS: Final = 2**31 - 1
_EXACT: Final = 1e-6
_SOURCE_IMAGE_SEQUENCE: Final = 0x00082112
_WINDOW: Final = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
_PIXELS: Final[dict[str, Value]] = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
    "RescaleSlope": "1",
    "RescaleIntercept": "0",
    "RescaleType": "HU",
}
"""Signed 16-bit HU, slope 1, intercept 0."""


class DerivedHeader:
    """Makes the header of each slice; see `DerivedSeriesWriter` for the arguments."""

    def __init__(
        self, series: DicomSeries, grid: VoxelGrid, derivation: Derivation, slice_origins_mm: NDArray[np.float64] | None
    ) -> None:
        self._series, self._grid, self._derivation = series, grid, derivation
        k = np.arange(grid.shape[0])
        regular = grid.positions(np.stack([0 * k, 0 * k, k], axis=1))
        self._origins: NDArray[np.float64] = regular if slice_origins_mm is None else slice_origins_mm
        source_depth = series.origins_mm @ grid.normal
        # Place of each output slice among the source slices, as a fractional index.
        self._places = np.interp(self._origins @ grid.normal, source_depth, np.arange(len(source_depth))).tolist()
        self._kept = KeptHeader()
        self._joined: dict[tuple[str, int], tuple[object, DataElement]] = {}
        self._items: dict[int, Dataset] = {}
        where = np.round(np.concatenate([grid.affine.ravel(), self._origins.ravel()]), 4).tolist()
        sources = [f"{uid}/{file.frame}" for uid, file in zip(series.sop_instance_uids, series.files, strict=True)]
        self._counts_down = _counts_down(series)
        self.series_uid: UID = derived_uid("series", *sources, derivation.identity, grid.shape, where)
        self._thickness_mm = series.thickness_mm
        self._finer = series.grid.plane_distance_mm / grid.plane_distance_mm
        self._directions = (grid.affine[:3, :2] / np.linalg.norm(grid.affine[:3, :2], axis=0)).T.ravel().tolist()
        self._codes = [code.dataset() for code in derivation.codes]
        self._equipment = [_equipment(derivation)]
        self._of_all_slices = [element(*pair) for pair in self._same_for_all_slices().items()]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the source's headers could not be kept or had to be repaired."""
        return tuple(self._kept.warnings)

    def warn(self, what: str) -> None:
        """Add to the warnings, once."""
        self._kept.warnings[what] = None

    def of(self, index: int, sources: Sequence[int] | None) -> Dataset:
        """Header of slice `index`, complete but for the pixel data, and the caller's own.

        Args:
            index: slice of the derived series.
            sources: slices of the source it was made of, or None for those within the derivation's radius.
        """
        return owned(self.shared(index, sources))

    def shared(self, index: int, sources: Sequence[int] | None) -> Dataset:
        """As `of`, but with elements that other slices have too: what is read only is made once for all of them."""
        place = self._places[index]
        source = self._series.headers[round(place)]
        dataset = self._kept.of(source)
        self._fill_required(dataset, source)
        self._tell_rounding(source)
        for one in self._of_all_slices:
            dataset.add(one)
        self._identify(dataset, index)
        self._locate(dataset, source, index)
        _drop_unpaired_windows(dataset)
        self._join(dataset, "DerivationCodeSequence", self._codes)
        self._join(dataset, "ContributingEquipmentSequence", self._equipment)
        items = self._source_items(self._sources(place) if sources is None else sources)
        dataset.add(DataElement(_SOURCE_IMAGE_SEQUENCE, "SQ", items))
        self._carry_lossy_history(dataset, source)
        return dataset

    def padding_hu(self, index: int) -> tuple[int, int] | None:
        """Lowest and highest HU that the source of slice `index` declares to be padding."""
        return padding_hu(self._series.headers[round(self._places[index])])

    def _sources(self, place: float) -> list[int]:
        radius = self._derivation.source_radius
        first, last = math.floor(place + _EXACT) - radius, math.ceil(place - _EXACT) + radius
        return list(range(max(first, 0), min(last, len(self._series) - 1) + 1))

    def _fill_required(self, dataset: Dataset, source: Dataset) -> None:
        complete(dataset)
        study = word(dataset, "StudyInstanceUID")
        if not study:
            study = derived_uid("study", text(source, "StudyInstanceUID") or self._series.uid)
            put(dataset, StudyInstanceUID=study)
            self.warn("StudyInstanceUID of the source is malformed; the derived series has a new one")
        frame_of_reference = word(source, "FrameOfReferenceUID")
        if not _is_uid(frame_of_reference):
            frame_of_reference = derived_uid("frame of reference", study, self._series.uid)
        put(dataset, FrameOfReferenceUID=frame_of_reference)

    def _tell_rounding(self, source: Dataset) -> None:
        rescale = (number(source, keyword) or 0.0 for keyword in ("RescaleSlope", "RescaleIntercept"))
        if not all(value.is_integer() for value in rescale):
            told = "HU of the source are no whole numbers (RescaleSlope or RescaleIntercept has a fraction)"
            self.warn(f"{told}; the derived series is rounded to whole ones, by up to 0.5 HU")

    def _same_for_all_slices(self) -> dict[str, Value]:
        derivation, first, grid = self._derivation, self._series.headers[0], self._grid
        new_number = (integer(first, "SeriesNumber") or 0) + derivation.series_number_offset
        source_name = self._series.description.replace("\\", "/")
        room = max(0, _MAX_LO - len(derivation.series_suffix) - 1)
        name = f"{source_name[:room].strip()} {derivation.series_suffix}".strip()[:_MAX_LO]
        moment = _in_source_zone(derivation.created, word(first, "TimezoneOffsetFromUTC"))
        date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
        evenly = grid.shape[0] > 1 and self._series.slice_origins_mm is None
        return {
            "SOPClassUID": CTImageStorage,
            "Modality": "CT",
            "SeriesInstanceUID": self.series_uid,
            "SeriesNumber": str(new_number if abs(new_number) <= _MAX_IS else derivation.series_number_offset),
            "SeriesDescription": name if name.isprintable() else derivation.series_suffix[:_MAX_LO],
            **{f"{what}Date": date for what in ("InstanceCreation", "Series", "Content")},
            **{f"{what}Time": time for what in ("InstanceCreation", "Series", "Content")},
            "ImageType": ("DERIVED", "SECONDARY", "AXIAL"),
            "DerivationDescription": derivation.description,
            "PixelSpacing": tuple(_ds(mm) for mm in grid.spacing_mm[1:]),
            **({"SpacingBetweenSlices": _ds(grid.plane_distance_mm)} if evenly else {}),
            **_PIXELS,
            "Rows": grid.shape[1],
            "Columns": grid.shape[2],
        }

    def _identify(self, dataset: Dataset, index: int) -> None:
        number = self._grid.shape[0] - index if self._counts_down else index + 1
        put(dataset, SOPInstanceUID=derived_uid("instance", self.series_uid, index), InstanceNumber=str(number))

    def _locate(self, dataset: Dataset, source: Dataset, index: int) -> None:
        own = numbers(source, "ImageOrientationPatient", 6)
        thickness = number(source, "SliceThickness") or self._thickness_mm
        put(
            dataset,
            ImagePositionPatient=tuple(_ds(mm) for mm in self._origins[index].tolist()),
            ImageOrientationPatient=tuple(_ds(v) for v in own or self._directions),
            SliceThickness=_ds(thickness / self._finer) if thickness and thickness > 0 else "",
        )
        location = number(source, "SliceLocation")
        if location is not None and len(self._series) == self._grid.shape[0]:
            put(dataset, SliceLocation=_ds(location))

    def _join(self, dataset: Dataset, keyword: str, own: Sequence[Dataset]) -> None:
        """Let a sequence go on with items of this derivation, without the codes that it holds already."""
        tag = Tag(keyword)
        given = dataset.get_item(tag)
        key = keyword, id(given)
        if key not in self._joined:
            before = list(dataset[tag].value or []) if given is not None else []
            known = {word(item, "CodeValue") for item in before} - {""}
            after = [item for item in own if word(item, "CodeValue") not in known]
            # What was given is kept, so that its identity stays its own.
            self._joined[key] = given, DataElement(tag, "SQ", before + after)
        dataset.add(self._joined[key][1])

    def _source_items(self, sources: Sequence[int]) -> list[Dataset]:
        """One item an instance; frames of a multi-frame instance are listed in its item."""
        items: dict[str, Dataset] = {}
        frames: dict[str, list[str]] = {}
        for k in sources:
            header, file = self._series.headers[k], self._series.files[k]
            uid = word(header, "SOPInstanceUID")
            if k not in self._items and _is_uid(uid):
                self._items[k] = _source_item(word(header, "SOPClassUID") or CTImageStorage, uid)
            elif k not in self._items:
                self.warn("a malformed SOPInstanceUID of the source is not referred to")
                continue
            items.setdefault(uid, self._items[k])
            if file.frames > 1:
                frames.setdefault(uid, []).append(str(file.frame + 1))
        for uid, numbered in frames.items():
            items[uid] = _source_item(items[uid].ReferencedSOPClassUID, uid)
            items[uid].ReferencedFrameNumber = numbered
        return list(items.values())

    def _carry_lossy_history(self, dataset: Dataset, source: Dataset) -> None:
        syntax = self._series.files[0].transfer_syntax
        method = LOSSY_METHODS.get(syntax)
        if word(source, "LossyImageCompression") != "01" and method is None:
            return
        put(dataset, LossyImageCompression="01")
        ratios, methods = words(source, "LossyImageCompressionRatio"), words(source, "LossyImageCompressionMethod")
        if ratios and methods and len(ratios) == len(methods):
            put(dataset, LossyImageCompressionRatio=ratios, LossyImageCompressionMethod=methods)
        elif method is not None:
            put(dataset, LossyImageCompressionMethod=method)


def _equipment(derivation: Derivation) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [PROCESSING_EQUIPMENT.dataset()]
    item.Manufacturer = derivation.tool
    item.ManufacturerModelName = derivation.tool
    item.SoftwareVersions = derivation.tool_version
    item.ContributionDateTime = derivation.created.strftime("%Y%m%d%H%M%S")
    item.ContributionDescription = derivation.summary[:1024]
    return item


def _source_item(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    item.PurposeOfReferenceCodeSequence = [SOURCE_IMAGE.dataset()]
    return item


def _counts_down(series: DicomSeries) -> bool:
    """Whether the source numbers its slices against their normal, as for a patient scanned from the feet up."""
    given = [integer(header, "InstanceNumber") for header in series.headers]
    known = [n for n in given if n is not None]
    return 1 < len(known) == len(given) and all(a > b for a, b in pairwise(known))


def _drop_unpaired_windows(dataset: Dataset) -> None:
    """Window centres, widths and explanations go together or go (PS3.3 C.11.2)."""
    centers, widths, explained = (len(words(dataset, keyword)) for keyword in _WINDOW)
    if centers != widths or not centers:
        for keyword in _WINDOW:
            dataset.pop(keyword, None)
    elif explained != centers:
        dataset.pop("WindowCenterWidthExplanation", None)


@lru_cache(maxsize=1024)
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
