"""What the CT Image IOD (PS3.3 A.3) asks of attributes beside pixels and geometry: present, empty, whole or absent."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from med_stylesr.io.attributes import word

_EMPTY_IF_UNKNOWN: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName"),
    *("StudyID", "AccessionNumber", "PatientPosition", "PositionReferenceIndicator", "Manufacturer", "KVP"),
    "AcquisitionNumber",
)
"""Type 2 attributes: present, but empty when unknown."""
_TRIAL_SUBJECT: Final = frozenset(range(0x00120010, 0x00120043))
_TRIAL_SUBJECT_NEEDS: Final = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID")
_CONTRAST: Final = ("ContrastBolusRoute", "ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastBolusStartTime")
_UNPAIRED: Final = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "AORTA", "BLADDER", "BRAIN", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "COCCYX"),
        *("COLON", "CSPINE", "ESOPHAGUS", "FACE", "HEAD", "HEADNECK", "HEART", "JAW", "LIVER", "LSPINE", "LSSPINE"),
        *("MAXILLA", "MEDIASTINUM", "NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "PANCREAS", "PELVIS"),
        *("PROSTATE", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "TLSPINE", "TRACHEA", "TSPINE"),
        *("UTERUS", "WHOLEBODY"),
    )
)
"""Body parts of CT examinations without left and right (PS3.16 Annex L); for others Laterality is asked for."""


def complete(dataset: Dataset) -> None:
    """Add what is asked for and remove what may not stand alone, in place."""
    for keyword in _EMPTY_IF_UNKNOWN:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if any(keyword in dataset for keyword in _CONTRAST) and "ContrastBolusAgent" not in dataset:
        dataset.ContrastBolusAgent = ""
    _laterality(dataset)
    _clinical_trial(dataset)
    _deidentification(dataset)


def _laterality(dataset: Dataset) -> None:
    """Laterality (0020,0060) is Type 2C: asked for of paired or unknown body parts, forbidden for others."""
    if word(dataset, "BodyPartExamined") in _UNPAIRED or "ImageLaterality" in dataset:
        dataset.pop("Laterality", None)
    elif "Laterality" not in dataset:
        dataset.Laterality = ""


def _clinical_trial(dataset: Dataset) -> None:
    """The Clinical Trial Subject module (PS3.3 C.7.1.3) is there as a whole or not at all."""
    if not all(dataset.get(keyword) for keyword in _TRIAL_SUBJECT_NEEDS):
        for tag in [t for t in dataset.keys() if t in _TRIAL_SUBJECT]:  # noqa: SIM118 - values are not needed
            del dataset[tag]
    if "LongitudinalTemporalOffsetFromEvent" not in dataset:
        dataset.pop("LongitudinalTemporalEventType", None)


def _deidentification(dataset: Dataset) -> None:
    """PatientIdentityRemoved YES asks for a method, in words or codes (PS3.3 C.7.1.1)."""
    if dataset.get("PatientIdentityRemoved") == "YES" and not dataset.get("DeidentificationMethod"):
        dataset.pop("DeidentificationMethod", None)
        if not dataset.get("DeidentificationMethodCodeSequence"):
            dataset.DeidentificationMethod = "not stated by the source"
