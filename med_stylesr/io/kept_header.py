"""What a derived image keeps of its source's header: what stays true, and only values that may be written."""

from __future__ import annotations

import warnings
from typing import Any, Final

from pydicom.charset import python_encoding
from pydicom.config import RAISE
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import format_number_as_ds, validate_value

from med_stylesr.io.attributes import words

_GROUPS: Final = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028)
_REQUEST_ATTRIBUTES: Final = 0x00400275

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


class KeptHeader:
    """Turns source headers into the part that a derived image keeps; remembers what it has converted.

    Attributes:
        warnings: what could not be kept or had to be repaired, each once.
    """

    def __init__(self) -> None:
        self.warnings: dict[str, None] = {}
        self._seen: dict[tuple[int, str | None, bytes, str], DataElement | None] = {}

    def of(self, header: Dataset) -> Dataset:
        """The kept attributes of one source header, valid for strict writing, without pixels and geometry."""
        charset = self._charset(header)
        kept = Dataset()
        if charset:
            kept.SpecificCharacterSet = charset[0] if len(charset) == 1 else list(charset)
        for tag in header.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
            if tag == 0x00080005 or tag in _STALE or (tag.group not in _GROUPS and tag != _REQUEST_ATTRIBUTES):
                continue
            element = self._element(header, tag, "\\".join(charset))
            if element is not None:
                kept[tag] = element
        if not charset and not _is_ascii(kept):
            kept.SpecificCharacterSet = "ISO_IR 100"
            self.warnings["the source names no character set; its text is taken for ISO 8859-1"] = None
        return kept

    def _charset(self, header: Dataset) -> tuple[str, ...]:
        values = words(header, "SpecificCharacterSet")
        if all(v in python_encoding for v in values):
            return values
        self.warnings[f"character set {'/'.join(values)} is unknown; text is written as read"] = None
        return ("ISO_IR 192",)

    def _element(self, header: Dataset, tag: BaseTag, charset: str) -> DataElement | None:
        raw = header.get_item(tag)
        if not isinstance(raw, RawDataElement) or not isinstance(raw.value, bytes):
            return self._valid(header, tag)
        key = (int(tag), raw.VR, raw.value, charset)
        if key not in self._seen:
            if len(self._seen) > 20_000:
                self._seen.clear()
            self._seen[key] = self._valid(header, tag)
        return self._seen[key]

    def _valid(self, header: Dataset, tag: BaseTag) -> DataElement | None:
        name = keyword_for_tag(tag) or str(tag)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                element = header[tag]
                if element.VR != "SQ":
                    return _checked(element)
                whole = tag in _SEQUENCES and all(_item_is_valid(item) for item in element.value)
                return element if whole else None
        except Exception as error:
            # pydicom raises one of many errors for a value that does not fit its VR.
            self.warnings[f"{name} of the source is malformed and left out ({type(error).__name__})"] = None
            return None


def _checked(element: DataElement) -> DataElement | None:
    """The element itself or a repaired copy; None when there is nothing to keep.

    Raises:
        ValueError: if the value may not be written.
    """
    tag = int(element.tag)
    if element.VR in ("UN", "OB or OW", "US or SS") or not keyword_for_tag(tag):
        return None
    if element.is_empty:
        return element
    values = element.value if element.VM > 1 else [element.value]
    allowed = _ENUMERATED.get(tag)
    if allowed is not None and not all(str(v) in allowed for v in values):
        raise ValueError(f"{values} is none of {allowed}")
    if element.VR == "DS":
        return DataElement(tag, "DS", [_decimal(v) for v in values])
    for value in values:
        validate_value(element.VR, str(value) if isinstance(value, str) or element.VR == "IS" else value, RAISE)
    return element


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


def _is_ascii(dataset: Dataset) -> bool:
    return all(str(e.value).isascii() for e in dataset if e.VR in _TEXT)
