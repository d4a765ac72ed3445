"""Synthetic structured reports for de-identification."""

from __future__ import annotations

from deid_tokens import Tokens, plain_slice
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

_OF_EVERY_OBJECT = (
    "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID SeriesInstanceUID StudyDate StudyTime StudyID "
    "AccessionNumber ReferringPhysicianName SeriesNumber InstanceNumber ContentDate "
    "ContentTime Manufacturer SOPInstanceUID"
)
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def content(kind: str, concept: tuple[str, str, str], **values: object) -> Dataset:
    """A content item of a value type under a concept name."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", kind, code(*concept)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def empty_report() -> Dataset:
    """A comprehensive SR without content."""
    sr = Dataset()
    source = plain_slice()
    for keyword in _OF_EVERY_OBJECT.split():
        sr[keyword] = source[keyword]
    sr.file_meta, sr.preamble = source.file_meta, bytes(128)
    sr.SOPClassUID = sr.file_meta.MediaStorageSOPClassUID = STRUCTURED_REPORT
    sr.Modality, sr.ValueType, sr.ContinuityOfContent = "SR", "CONTAINER", "SEPARATE"
    sr.CompletionFlag, sr.VerificationFlag = "COMPLETE", "UNVERIFIED"
    sr.ReferencedPerformedProcedureStepSequence, sr.PerformedProcedureCodeSequence = Sequence(), Sequence()
    sr.ConceptNameCodeSequence = code("126000", "DCM", "Imaging Measurement Report")
    return sr


def report(tokens: Tokens) -> Dataset:
    """A comprehensive SR with tokens in every kind of content item, some nested."""
    sr = empty_report()
    sr.ConceptNameCodeSequence = code("126000", "DCM", tokens.text("title"))
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12.5", code("mm", "UCUM", tokens.text("unit"))
    finding = ("121071", "DCM", "Finding")
    inner = content("CONTAINER", ("121070", "DCM", "Findings"), ContinuityOfContent="SEPARATE")
    inner.ContentSequence = Sequence(
        [
            content("TEXT", finding, TextValue=f"nodule {tokens.text('finding')}"),
            content("NUM", ("103339001", "SCT", "Long Axis"), MeasuredValueSequence=Sequence([measured])),
            content("CODE", finding, ConceptCodeSequence=code(tokens.text("code"), "99LOCAL", tokens.text("meaning"))),
        ]
    )
    sr.ContentSequence = Sequence(
        [
            content("PNAME", ("121008", "DCM", "Person Observer Name"), PersonName=tokens.text("observer")),
            content("TEXT", ("121022", "DCM", "Accession Number"), TextValue=tokens.text("accession")),
            content("UIDREF", ("121018", "DCM", "Procedure Study Instance UID"), UID=tokens.uid("study")),
            content("TEXT", ("99X", "99LOCAL", tokens.text("concept")), TextValue=tokens.text("free text")),
            inner,
        ]
    )
    return sr
