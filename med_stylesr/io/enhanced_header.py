"""Header of an Enhanced CT image (PS3.3 A.38), put together from its frames' headers as they come."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag
from pydicom.uid import EnhancedCTImageStorage

from med_stylesr.errors import InputError
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.io.attributes import integer, word, words
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.elements import put
from med_stylesr.io.enhanced_contrast import AGENTS, contrast_agents
from med_stylesr.io.enhanced_groups import (
    HOW_MADE,
    HOW_MADE_KEYWORDS,
    UNASSIGNED,
    acquisition_moment,
    has_value,
    take_groups,
)

_OWN: Final = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        *("SpecificCharacterSet", "SOPClassUID", "InstanceNumber", "ImageType", "PixelData", "ReferencedImageSequence"),
        *("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence", "SourceImageEvidenceSequence"),
        *("PixelPaddingValue", "PixelPaddingRangeLimit"),
        *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    )
)
"""Attributes of frames that the image does not have, or has with a value of its own."""
_OF_THE_SERIES: Final = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
        *("SeriesInstanceUID", "SeriesNumber", "Modality", "PatientPosition", "Laterality", "FrameOfReferenceUID"),
        *("PositionReferenceIndicator", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber"),
        "SoftwareVersions",
    )
)
"""Asked for, so that the first frame's value is taken where headers of one series contradict each other."""
_PATIENT: Final = 0x0010
_NEVER_SHARED: Final = ("FrameContentSequence", "PlanePositionSequence", "DerivationImageSequence")
_SAID_ANYWAY: Final = {
    "Manufacturer": "UNKNOWN",
    "ManufacturerModelName": "UNKNOWN",
    "DeviceSerialNumber": "UNKNOWN",
    "SoftwareVersions": "UNKNOWN",
    "BurnedInAnnotation": "NO",
    "ContentDate": "19000101",
    "ContentTime": "000000",
}
"""Asked for, so told even if the source does not, or no longer once it is de-identified."""
_LOSSY: Final = {"LossyImageCompressionRatio": "1", "LossyImageCompressionMethod": "UNKNOWN"}
"""What is least to be said of a lossy compression."""
_DIMENSIONS: Final = (("StackID", "Stack"), ("InStackPositionNumber", "Place in the stack"))
_IN_FRAME: Final = "FrameContentSequence"
_EXPLICIT_LITTLE: Final = (False, True)


class EnhancedHeader:
    """Takes in frames' headers one after the other, as bytes, and makes one header of them.

    What all frames have in common is told once: functional groups in the shared ones, attributes at the top. Attributes
    that no functional group holds and that differ from frame to frame go into the frames' unassigned ones.

    Args:
        name: of the source, for messages.
        frame_type: FrameType of all frames, and ImageType.
        evenly: whether the frames are a regularly sampled volume.
    """

    def __init__(self, name: str, frame_type: Sequence[str], *, evenly: bool) -> None:
        self._name, self._frame_type, self._evenly = name, frame_type, evenly
        self._charset: tuple[str, ...] = ()
        self._top: dict[BaseTag, DataElement | RawDataElement] = {}
        self._first: dict[BaseTag, bytes] = {}
        self._other: dict[int, dict[BaseTag, bytes]] = {}
        self._groups: dict[int, dict[str, bytes]] = {}
        self._known: dict[bytes, bytes] = {}
        self._evidence: dict[tuple[str, str], dict[str, str]] = {}
        self._padding: set[int] = set()
        self._moments: set[str] = set()
        self._unsaid: set[str] = set()
        self._lossy: dict[str, list[str]] | None = None
        self.warnings: dict[str, None] = {}

    def add(self, index: int, frame: Dataset) -> None:
        """Take in a frame; the order does not matter.

        Args:
            index: its place in the image, from 0.
            frame: header as a single-frame CT image, complete and valid. Elements are taken out of it, but none is
                changed, so they may be shared with other frames.

        Raises:
            InputError: if it cannot be a frame of the same image as the others.
        """
        self._take_character_set(frame)
        agents = contrast_agents(frame)
        frame.pop(AGENTS, None)
        if agents:
            frame.ContrastBolusAgentSequence = agents
        self._moments.add(acquisition_moment(frame))
        self._take_evidence(frame)
        if self._lossy is None and word(frame, "LossyImageCompression") == "01":
            self._lossy = {keyword: list(words(frame, keyword)) for keyword in _LOSSY}
        self._unsaid |= {keyword for keyword in _SAID_ANYWAY if not has_value(frame, keyword)}
        limits = (integer(frame, "PixelPaddingValue"), integer(frame, "PixelPaddingRangeLimit"))
        self._padding.update(limit for limit in limits if limit is not None)
        encodings = convert_encodings(list(self._charset) or "")
        self._groups[index] = {
            name: self._encoded(DataElement(Tag(name), "SQ", items), encodings)
            for name, items in take_groups(frame, self._frame_type).items()
        }
        self._take_rest(index, frame, encodings)

    def dataset(self) -> Dataset:
        """The header, complete but for the pixel data.

        Raises:
            ValueError: if there are no frames.
        """
        if not self._groups:
            raise ValueError("an image needs a frame")
        differing = {tag for other in self._other.values() for tag in other if not _is_of_the_series(tag)}
        top = {tag: element for tag, element in self._top.items() if tag not in differing}
        whole = Dataset(top)
        whole.set_original_encoding(*_EXPLICIT_LITTLE, list(self._charset) or None)
        if self._charset:
            whole.SpecificCharacterSet = list(self._charset)
        self._describe(whole)
        self._declare_padding(whole)
        self._order(whole)
        self._refer(whole)
        self._say_unknown(whole)
        frames = []
        for index in sorted(self._groups):
            own = {tag: self._other[index].get(tag, self._first.get(tag, b"")) for tag in differing}
            unassigned = {UNASSIGNED: _sequence(UNASSIGNED, [own.values()])} if any(own.values()) else {}
            frames.append({**self._groups[index], **unassigned})
        shared = {
            name: value
            for name, value in frames[0].items()
            if name not in _NEVER_SHARED and all(one.get(name) is value for one in frames)
        }
        per_frame = [[value for name, value in one.items() if name not in shared] for one in frames]
        for keyword, items in (
            ("SharedFunctionalGroupsSequence", [shared.values()]),
            ("PerFrameFunctionalGroupsSequence", per_frame),
        ):
            content = b"".join(map(_item, items))
            tag = Tag(keyword)
            whole[tag] = RawDataElement(tag, "SQ", len(content), content, 0, *_EXPLICIT_LITTLE)
        return whole

    def _encoded(self, element: DataElement | RawDataElement, encodings: list[str]) -> bytes:
        """An element as bytes; the same object for equal ones, since most are the same in all frames."""
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, encodings)
        value = buffer.getvalue()
        return self._known.setdefault(value, value)

    def _take_character_set(self, frame: Dataset) -> None:
        charset = words(frame, "SpecificCharacterSet")
        if charset and self._charset and charset != self._charset:
            why = "its slices are in several character sets, and one image has only one"
            raise InputError(self._name, why, "leave --multiframe out")
        self._charset = charset or self._charset

    def _take_rest(self, index: int, frame: Dataset, encodings: list[str]) -> None:
        """Remember what is in no group: that of the first frame, and how the others differ."""
        rest = {element.tag: element for element in frame.values() if element.tag not in _OWN}
        encoded = {tag: self._encoded(element, encodings) for tag, element in rest.items()}
        if not self._first:
            self._top, self._first = rest, encoded
        absent = dict.fromkeys(self._first.keys() - encoded.keys(), b"")
        changed = {tag: value for tag, value in encoded.items() if self._first.get(tag) is not value}
        self._other[index] = {**absent, **changed}

    def _take_evidence(self, frame: Dataset) -> None:
        for study in frame.get("SourceImageEvidenceSequence") or []:
            for series in study.ReferencedSeriesSequence:
                both = word(study, "StudyInstanceUID"), word(series, "SeriesInstanceUID")
                known = self._evidence.setdefault(both, {})
                for one in series.ReferencedSOPSequence:
                    known[one.ReferencedSOPInstanceUID] = one.ReferencedSOPClassUID

    def _describe(self, whole: Dataset) -> None:
        """Enhanced CT Image module (PS3.3 C.8.15.2), and what depends on the number of frames."""
        put(
            whole,
            SOPClassUID=EnhancedCTImageStorage,
            ImageType=tuple(self._frame_type),
            InstanceNumber="1",
            NumberOfFrames=str(len(self._groups)),
            **dict(zip(HOW_MADE_KEYWORDS, HOW_MADE, strict=True)),
            ContentQualification="RESEARCH",
            PresentationLUTShape="IDENTITY",
        )
        whole.AcquisitionContextSequence = []
        began = min(self._moments - {""}, default="")
        if began:
            put(whole, AcquisitionDateTime=began)
        whole.LossyImageCompression = "00" if self._lossy is None else "01"
        if self._lossy is not None:
            for keyword, least in _LOSSY.items():
                setattr(whole, keyword, self._lossy[keyword] or least)

    def _declare_padding(self, whole: Dataset) -> None:
        """What any frame declares as padding is padding in all: it lies beyond the HU of anything in a patient."""
        if not self._padding:
            return
        low, high = min(self._padding), max(self._padding)
        if low < HU_MIN and high > HU_MAX:
            self.warnings["padding values lie below and above all HU, which one image cannot say; none are told"] = None
            return
        whole.add_new("PixelPaddingValue", "SS", low)
        if high > low:
            whole.add_new("PixelPaddingRangeLimit", "SS", high)

    def _order(self, whole: Dataset) -> None:
        """Multi-frame Dimension module (PS3.3 C.7.6.17): one stack, in the order of its places."""
        uid = derived_uid("dimensions", whole.SOPInstanceUID)
        organization = Dataset()
        organization.DimensionOrganizationUID = uid
        whole.DimensionOrganizationSequence = [organization]
        if self._evenly and len(self._groups) > 1:
            whole.DimensionOrganizationType = "3D"
        whole.DimensionIndexSequence = []
        for keyword, label in _DIMENSIONS:
            index = Dataset()
            index.DimensionOrganizationUID = uid
            index.DimensionIndexPointer, index.FunctionalGroupPointer = Tag(keyword), Tag(_IN_FRAME)
            index.DimensionDescriptionLabel = label
            whole.DimensionIndexSequence.append(index)

    def _say_unknown(self, whole: Dataset) -> None:
        """What Enhanced CT asks for whether or not it is known (PS3.3 C.7.5.2, C.8.15.2.1)."""
        said = {keyword: value for keyword, value in _SAID_ANYWAY.items() if keyword in self._unsaid}
        put(whole, **said)
        said.update({k: least for k, least in _LOSSY.items() if self._lossy is not None and not self._lossy[k]})
        if said:
            told = ", ".join(f"{keyword} {value}" for keyword, value in said.items())
            self.warnings[f"Enhanced CT asks for what the source does not tell, so it says {told}"] = None

    def _refer(self, whole: Dataset) -> None:
        """SourceImageEvidenceSequence: studies, series and instances of all sources, each once (PS3.3 10.15)."""
        studies: dict[str, list[Dataset]] = {}
        for (study, series), instances in self._evidence.items():
            of_series = Dataset()
            of_series.SeriesInstanceUID, of_series.ReferencedSOPSequence = series, []
            for instance, sop_class in instances.items():
                item = Dataset()
                item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
                of_series.ReferencedSOPSequence.append(item)
            studies.setdefault(study, []).append(of_series)
        evidence = []
        for study, all_series in studies.items():
            of_study = Dataset()
            of_study.StudyInstanceUID, of_study.ReferencedSeriesSequence = study, all_series
            evidence.append(of_study)
        if evidence:
            whole.SourceImageEvidenceSequence = evidence


def _is_of_the_series(tag: BaseTag) -> bool:
    return tag in _OF_THE_SERIES or tag.group == _PATIENT


def _sequence(keyword: str, items: Iterable[Iterable[bytes]]) -> bytes:
    """A sequence of encoded elements in explicit VR little endian."""
    tag, content = Tag(keyword), b"".join(map(_item, items))
    return struct.pack("<HH2sHL", tag.group, tag.element, b"SQ", 0, len(content)) + content


def _item(elements: Iterable[bytes]) -> bytes:
    """A sequence item (PS3.5 7.5.1) of encoded elements, in the order of their tags."""
    ordered: list[bytes] = sorted(elements, key=_tag_of)
    content = b"".join(ordered)
    return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


def _tag_of(element: bytes) -> tuple[int, int]:
    return int.from_bytes(element[:2], "little"), int.from_bytes(element[2:4], "little")
