"""What a derived image keeps of its source's header: what stays true, and only values that may be written."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Final, TypeAlias

from pydicom.charset import python_encoding
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds, validate_value

from med_stylesr.io.attributes import words
from med_stylesr.io.elements import put

_GROUPS: Final = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028)
_CHARACTER_SET: Final = 0x00080005
_REQUEST_ATTRIBUTES: Final = 0x00400275
_EXPLICIT_LITTLE: Final = (False, True)
_MAX_REMEMBERED: Final = 20_000

_STALE: Final = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        # the instance and how it came about
        *("SOPClassUID", "SOPInstanceUID", "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID"),
        *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime", "InstanceNumber"),
        *("ContentDate", "ContentTime", "ImageType", "DerivationDescription", "ImagesInAcquisition"),
        *("OverlayDate", "OverlayTime", "CurveDate", "CurveTime"),
        *("SpacingBetweenSlices", "SliceThickness", "SliceLocation", "ImagePositionPatient", "PixelSpacing"),
        *("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "PixelAspectRatio"),
        *("ImageOrientationPatient", "PatientOrientation", "FrameOfReferenceUID", "NominalScannedPixelSpacing"),
        # the pixels
        *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
        *("PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit"),
        *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries"),
        *("LargestPixelValueInSeries", "RescaleSlope", "RescaleIntercept", "RescaleType", "PresentationLUTShape"),
        *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
        # modules that a single-frame CT image does not have, or that cannot be kept whole
        *("NumberOfFrames", "FrameIncrementPointer", "AcquisitionTimeSynchronized", "SynchronizationTrigger"),
        *("SynchronizationFrameOfReferenceUID", "MultienergyCTAcquisition", "ConcatenationUID"),
        *("InConcatenationNumber", "PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique"),
        *("FrameAcquisitionDateTime", "StackID", "InStackPositionNumber", "TemporalPositionIndex"),
        *("ContentQualification", "FrameType", "DimensionOrganizationType"),
    )
)

_SEQUENCES: Final = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        *("ReferencedStudySequence", "ReferencedPatientSequence", "OtherPatientIDsSequence", "ProcedureCodeSequence"),
        *("PatientBreedCodeSequence", "PatientSpeciesCodeSequence", "IssuerOfPatientIDQualifiersSequence"),
        *("DeidentificationMethodCodeSequence", "AnatomicRegionSequence", "CTDIPhantomTypeCodeSequence"),
        *("ReferencedImageSequence", "ContributingEquipmentSequence", "DerivationCodeSequence"),
        *("ContrastBolusAgentSequence", "RequestAttributesSequence", "ReasonForRequestedProcedureCodeSequence"),
    )
)

_ENUMERATED: Final = {
    tag_for_keyword(keyword): values
    for keyword, values in {
        "PatientSex": ("M", "F", "O"),
        "RotationDirection": ("CW", "CC"),
        "PatientIdentityRemoved": ("YES", "NO"),
        "BurnedInAnnotation": ("YES", "NO"),
        "RecognizableVisualFeatures": ("YES", "NO"),
        "QualityControlImage": ("YES", "NO", "BOTH"),
        "Laterality": ("R", "L"),
        "ImageLaterality": ("R", "L", "U", "B"),
        "PatientPosition": (
            *("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL", "LFP", "LFS"),
            *("RFP", "RFS", "AFP", "AFS", "AFDR", "AFDL", "PFP", "PFS", "PFDR", "PFDL"),
        ),
    }.items()
}
_TEXT: Final = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
_Element: TypeAlias = DataElement | RawDataElement


class KeptHeader:
    """Turns source headers into the part that a derived image keeps; remembers what it has converted.

    Attributes:
        warnings: what could not be kept or had to be repaired, each once.
    """

    def __init__(self) -> None:
        self.warnings: dict[str, None] = {}
        self._seen: dict[tuple[int, str, bool], tuple[_Element, _Element | None]] = {}

    def of(self, header: Dataset) -> Dataset:
        """The kept attributes of one source header, valid for strict writing, without pixels and geometry.

        Elements are shared with the source and other slices: they may be replaced, but not changed in place. Raw ones
        may be written as they are in explicit VR little endian.
        """
        charset, known = self._charset(header)
        told, as_read = "\\".join(charset), known and header.original_encoding == _EXPLICIT_LITTLE
        elements: dict[BaseTag, _Element] = {}
        for given in header.values():
            kept = self._element(header, given, told, as_read) if _is_kept(given.tag) else None
            if kept is not None:
                elements[given.tag] = kept
        dataset = Dataset(elements)
        dataset.set_original_encoding(*_EXPLICIT_LITTLE, header.original_character_set)
        if charset:
            put(dataset, SpecificCharacterSet=charset[0] if len(charset) == 1 else charset)
        elif not all(map(_is_ascii, elements.values())):
            put(dataset, SpecificCharacterSet="ISO_IR 100")
            self.warnings["the source names no character set; its text is taken for ISO 8859-1"] = None
        return dataset

    def _charset(self, header: Dataset) -> tuple[tuple[str, ...], bool]:
        """The character set to write, and whether it is the one to read."""
        values = words(header, "SpecificCharacterSet")
        if all(v in python_encoding for v in values):
            return values, True
        self.warnings[f"character set {'/'.join(values)} is unknown; text is written as read"] = None
        return ("ISO_IR 192",), False

    def _element(self, header: Dataset, given: _Element, charset: str, as_read: bool) -> _Element | None:
        # Equal elements of a series are one object, see `header.read_header`; it is kept here, so its identity is its.
        key = (id(given), charset, as_read)
        found = self._seen.get(key)
        if found is None:
            if len(self._seen) > _MAX_REMEMBERED:
                self._seen.clear()
            found = self._seen[key] = given, self._valid(header, given, as_read)
        return found[1]

    def _valid(self, header: Dataset, given: _Element, as_read: bool) -> _Element | None:
        """The element of a source header, raw if its bytes may be written as they are; the header stays as it is."""
        tag = given.tag
        alone = Dataset({tag: given})
        implicit, little = header.original_encoding
        alone.set_original_encoding(implicit, little, header.original_character_set)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                element = alone[tag]
                if element.VR == "SQ":
                    valid = tag in _SEQUENCES and all(_item_is_valid(item) for item in element.value)
                    checked = element if valid else None
                else:
                    checked = _checked(element)
        except Exception as error:
            # pydicom raises one of many errors for a value that does not fit its VR.
            name = keyword_for_tag(tag) or str(tag)
            self.warnings[f"{name} of the source is malformed and left out ({type(error).__name__})"] = None
            return None
        if as_read and checked is element and isinstance(given, RawDataElement) and given.VR == element.VR:
            return given if _is_plain(given) else checked
        return checked


@lru_cache(maxsize=_MAX_REMEMBERED)
def _is_kept(tag: BaseTag) -> bool:
    """Whether an attribute may stay true in a derived image."""
    if tag == _CHARACTER_SET or tag in _STALE:
        return False
    return tag.group in _GROUPS or tag == _REQUEST_ATTRIBUTES


def _is_plain(raw: RawDataElement) -> bool:
    """Whether the bytes may be written as they stand: of even length, padded as the standard says (PS3.5 6.2)."""
    value = raw.value or b""
    return len(value) % 2 == 0 and (raw.VR not in (*_TEXT, "CS", "DA", "TM", "DT", "AS", "IS") or b"\0" not in value)


def _checked(element: DataElement) -> DataElement | None:
    """The element itself or a repaired copy; None when there is nothing to keep.

    Raises:
        ValueError: if the value may not be written.
    """
    tag = int(element.tag)
    if element.VR in ("UN", "OB or OW", "US or SS") or not keyword_for_tag(tag):
        return None
    element = _with_its_own_vr(element)
    if element.is_empty:
        return element
    values = element.value if element.VM > 1 else [element.value]
    allowed = _ENUMERATED.get(tag)
    if allowed is not None and not all(str(v) in allowed for v in values):
        raise ValueError(f"{values} is none of {allowed}")
    if element.VR == "DS":
        decimals = [_decimal(v) for v in values]
        as_read = [str(getattr(v, "original_string", v)) for v in values]
        return element if decimals == as_read else DataElement(tag, "DS", decimals)
    for value in values:
        validate_value(element.VR, str(value) if isinstance(value, str) or element.VR == "IS" else value, RAISE)
    return element


def _with_its_own_vr(element: DataElement) -> DataElement:
    """The element with the value representation of its tag (PS3.6), whatever the file says.

    Raises:
        ValueError: if its value cannot be one of that.
    """
    own = dictionary_VR(element.tag)
    if element.VR in own.split(" or "):
        return element
    if own == "SQ" or not isinstance(element.value, (str, int, float)):
        raise ValueError(f"is {element.VR}, not {own}")
    return DataElement(element.tag, own, element.value, validation_mode=RAISE)


def _decimal(value: Any) -> str:
    """A decimal string of at most 16 characters."""
    if value is None or value == "":
        return ""
    text = str(getattr(value, "original_string", value)).strip()
    if len(text) > 16:
        text = format_number_as_ds(float(value))
    validate_value("DS", text, RAISE)
    return text


def _item_is_valid(item: Dataset) -> bool:
    """Whether a sequence item may be written; a code needs value, scheme and meaning (PS3.3 8.8)."""
    for element in item:
        if element.tag.group % 2:
            return False
        if element.VR == "SQ":
            if not all(_item_is_valid(inner) for inner in element.value):
                return False
        else:
            _checked(element)
    if "CodeValue" in item or "CodingSchemeDesignator" in item:
        return all(item.get(k) for k in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    if "ReferencedSOPInstanceUID" in item or "ReferencedSOPClassUID" in item:
        return all(item.get(k) for k in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"))
    return len(item) > 0


def _is_ascii(element: _Element) -> bool:
    if isinstance(element, RawDataElement):
        return element.VR not in _TEXT or (element.value or b"").isascii()
    return element.VR not in _TEXT or str(element.value).isascii()
