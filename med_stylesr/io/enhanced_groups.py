"""Functional groups of Enhanced CT (PS3.3 C.7.6.16.2, C.8.15.3): which attribute of a single-frame header is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydicom.config import RAISE
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from med_stylesr.io.attributes import integer, number, word, words
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.enhanced_anatomy import anatomy
from med_stylesr.io.enhanced_contrast import AGENTS

ATTRIBUTES: Final[Mapping[str, Sequence[str]]] = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "FrameAnatomySequence": ("FrameLaterality", "AnatomicRegionSequence"),
    "IrradiationEventIdentificationSequence": ("IrradiationEventUID",),
    "ContrastBolusUsageSequence": ("ContrastBolusAgentAdministered",),
    "CTAcquisitionTypeSequence": ("AcquisitionType", "TubeAngle", "ConstantVolumeFlag", "FluoroscopyFlag"),
    "CTAcquisitionDetailsSequence": (
        *("RotationDirection", "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableHeight"),
        *("GantryDetectorTilt", "DataCollectionDiameter"),
    ),
    "CTTableDynamicsSequence": ("TableSpeed", "TableFeedPerRotation", "SpiralPitchFactor"),
    "CTPositionSequence": ("TablePosition", "DataCollectionCenterPatient", "ReconstructionTargetCenterPatient"),
    "CTGeometrySequence": ("DistanceSourceToDetector", "DistanceSourceToDataCollectionCenter"),
    "CTReconstructionSequence": (
        *("ReconstructionAlgorithm", "ConvolutionKernel", "ConvolutionKernelGroup", "ReconstructionDiameter"),
        *("ReconstructionFieldOfView", "ReconstructionPixelSpacing", "ReconstructionAngle", "ImageFilter"),
    ),
    "CTExposureSequence": (
        *("ExposureTimeInms", "XRayTubeCurrentInmA", "ExposureInmAs", "ExposureModulationType", "EstimatedDoseSaving"),
        *("CTDIvol", "CTDIPhantomTypeCodeSequence", "WaterEquivalentDiameter"),
        "WaterEquivalentDiameterCalculationMethodCodeSequence",
    ),
    "CTXRayDetailsSequence": ("KVP", "FocalSpots", "FilterType", "FilterMaterial"),
    "FrameContentSequence": (
        *("FrameAcquisitionNumber", "FrameAcquisitionDateTime", "TemporalPositionIndex", "StackID"),
        "InStackPositionNumber",
    ),
    "CTImageFrameTypeSequence": ("FrameType",),
    "DerivationImageSequence": ("DerivationCodeSequence",),
}
"""Attributes by the sequence of their functional group; the names are those of PS3.6."""
RENAMED: Final[Mapping[str, str]] = {
    "FrameType": "ImageType",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
    "FrameLaterality": "ImageLaterality",
}
"""Attributes that a single-frame header has under another name."""
OLDER: Final[Mapping[str, Sequence[tuple[str, float]]]] = {
    "ExposureTimeInms": (("ExposureTime", 1.0), ("ExposureTimeInuS", 1e-3)),
    "XRayTubeCurrentInmA": (("XRayTubeCurrent", 1.0), ("XRayTubeCurrentInuA", 1e-3)),
    "ExposureInmAs": (("Exposure", 1.0), ("ExposureInuAs", 1e-3)),
}
"""Attributes of the CT Image module that tell the same with another type, and their units in that of the key."""
_WHOLE: Final[Mapping[str, Sequence[str]]] = {
    "CTAcquisitionTypeSequence": ("AcquisitionType", "ConstantVolumeFlag", "FluoroscopyFlag"),
    "CTAcquisitionDetailsSequence": (
        *("SingleCollimationWidth", "TotalCollimationWidth", "TableHeight", "GantryDetectorTilt"),
        "DataCollectionDiameter",
    ),
    "CTPositionSequence": ATTRIBUTES["CTPositionSequence"],
    "CTGeometrySequence": ATTRIBUTES["CTGeometrySequence"],
    "CTReconstructionSequence": (
        *("ReconstructionAlgorithm", "ConvolutionKernel", "ConvolutionKernelGroup", "ReconstructionPixelSpacing"),
        *("ReconstructionAngle", "ImageFilter"),
    ),
    "CTExposureSequence": ("ExposureTimeInms", "XRayTubeCurrentInmA", "ExposureInmAs", "ExposureModulationType"),
    "CTXRayDetailsSequence": ("KVP", "FocalSpots", "FilterType", "FilterMaterial"),
}
"""What these groups ask for of original frames (PS3.3 C.8.15.3); derived frames have them as a whole or not at all."""
_NAMED_UNKNOWN: Final = ("ExposureModulationType", "FilterType", "FilterMaterial")
_UNKNOWN: Final = "UNKNOWN"
UNASSIGNED: Final = "UnassignedPerFrameConvertedAttributesSequence"
"""Where attributes of a frame are that no functional group holds (PS3.3 C.7.6.16.2.26)."""
UNASSIGNED_SHARED: Final = "UnassignedSharedConvertedAttributesSequence"
"""The same for attributes of all frames, as Legacy Converted images have them."""
HOW_MADE_KEYWORDS: Final = ("PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique")
HOW_MADE: Final = ("MONOCHROME", "VOLUME", "NONE")
"""Values of these three (PS3.3 C.8.16.2), the same for the image and all of its frames."""
_MAX_US: Final = 65535
_STACK: Final = "1"

Groups = dict[str, list[Dataset]]


def take_groups(header: Dataset, frame_type: Sequence[str]) -> Groups:
    """Functional groups of a frame, made of its header as a single-frame CT image; what goes into them leaves that.

    Groups that the header does not know enough of stay out as a whole, and their attributes in the header.

    Args:
        header: complete and valid; elements are taken out of it, but not changed.
        frame_type: FrameType, four values.
    """
    event = Dataset()
    event.IrradiationEventUID = word(header, "IrradiationEventUID") or _event(header)
    groups = {
        "FrameContentSequence": [_content(header)],
        "FrameAnatomySequence": [anatomy(header)],
        "CTImageFrameTypeSequence": [_kind(frame_type)],
        "IrradiationEventIdentificationSequence": [event],
        "DerivationImageSequence": [
            _known(header, ("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence"))
        ],
    }
    administered = word(header, "ContrastBolusAgentAdministered") or "YES"
    usages = [_usage(agent, administered) for agent in header.get(AGENTS) or []]
    if usages:
        groups["ContrastBolusUsageSequence"] = usages
    for sequence, keywords in ATTRIBUTES.items():
        if sequence in groups:
            continue
        item = _known(header, keywords)
        if sequence == "CTExposureSequence":
            _add_older(item, header)
        _name_unknown(item, _WHOLE.get(sequence, ()))
        if len(item) and all(keyword in item for keyword in _WHOLE.get(sequence, ())):
            groups[sequence] = [item]
    _take_out(header, groups)
    return groups


def _take_out(header: Dataset, groups: Groups) -> None:
    placed = [keyword for sequence in groups for keyword in ATTRIBUTES.get(sequence, ())]
    placed += [RENAMED[keyword] for keyword in placed if keyword in RENAMED]
    placed += [name for keyword in placed for name, _ in OLDER.get(keyword, ())]
    moment = acquisition_moment(header)
    for keyword in (*placed, "Laterality", *(("AcquisitionDate", "AcquisitionTime") if moment else ())):
        header.pop(keyword, None)


def _kind(frame_type: Sequence[str]) -> Dataset:
    """CT Image Frame Type (PS3.3 C.8.15.3.1)."""
    item = Dataset()
    item.FrameType = list(frame_type)
    for keyword, value in zip(HOW_MADE_KEYWORDS, HOW_MADE, strict=True):
        setattr(item, keyword, value)
    return item


def _event(header: Dataset) -> UID:
    """UID for an irradiation event that has none: one for each acquisition of a study."""
    told = [word(header, keyword) for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "AcquisitionNumber")]
    return derived_uid("irradiation event", *told)


def _add_older(item: Dataset, header: Dataset) -> None:
    for keyword, older in OLDER.items():
        told = [value * unit for name, unit in older if (value := number(header, name)) is not None]
        if told and keyword not in item:
            setattr(item, keyword, told[0])


def _name_unknown(item: Dataset, asked: Sequence[str]) -> None:
    """Say UNKNOWN where that is a word, if nothing else is missing."""
    if len(item) and all(keyword in item or keyword in _NAMED_UNKNOWN for keyword in asked):
        for keyword in asked:
            if keyword not in item:
                setattr(item, keyword, _UNKNOWN)


def has_value(item: Dataset, keyword: str) -> bool:
    """Whether the item holds the attribute with a value."""
    return keyword in item and (bool(words(item, keyword)) or bool(item.get(keyword)))


def _known(header: Dataset, keywords: Sequence[str]) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        if has_value(header, keyword):
            item[keyword] = header[keyword]
    return item


def _content(header: Dataset) -> Dataset:
    """Frame Content (PS3.3 C.7.6.16.2.2): place in the stack as the source counts its slices, and time."""
    item = Dataset()
    place = integer(header, "InstanceNumber") or 1
    item.StackID, item.InStackPositionNumber, item.DimensionIndexValues = _STACK, place, [1, place]
    acquisition = integer(header, "AcquisitionNumber")
    if acquisition is not None and 0 <= acquisition <= _MAX_US:
        item.FrameAcquisitionNumber = acquisition
    moment = acquisition_moment(header)
    if moment:
        item.FrameAcquisitionDateTime = moment
    return item


def acquisition_moment(header: Dataset) -> str:
    """AcquisitionDate and AcquisitionTime, or AcquisitionDateTime, as DT; empty if unknown."""
    date, time = word(header, "AcquisitionDate"), word(header, "AcquisitionTime")
    told = date + time if date and time else word(header, "AcquisitionDateTime")
    try:
        validate_value("DT", told, RAISE)
    except ValueError:
        return ""
    return told


def _usage(agent: Dataset, administered: str) -> Dataset:
    """Contrast/Bolus Usage (PS3.3 C.7.6.16.2.12) of one agent."""
    item = Dataset()
    item.ContrastBolusAgentNumber = agent.ContrastBolusAgentNumber
    item.ContrastBolusAgentAdministered = administered
    if administered == "YES":
        item.ContrastBolusAgentDetected, item.ContrastBolusAgentPhase = "", ""
    return item
