"""Other encodings and other objects than a CT slice: every transfer syntax, structured reports, objects in memory."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from deid_tokens import Tokens, plain_slice, round_trip, written
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.keys import new_key

pytestmark = pytest.mark.filterwarnings("ignore")
_OF_EVERY_OBJECT = (
    "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID SeriesInstanceUID StudyDate StudyTime StudyID "
    "AccessionNumber ReferringPhysicianName SeriesNumber InstanceNumber ContentDate "
    "ContentTime Manufacturer SOPInstanceUID"
)
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


def with_tokens(tokens: Tokens) -> Dataset:
    dataset = plain_slice()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, tokens.uid("reference")
    item.add_new(0x00104000, "LT", tokens.text("nested comment"))
    item.add_new(0x00091001, "LO", tokens.text("nested private"))
    dataset.ReferencedImageSequence = Sequence([item])
    dataset.PatientComments = tokens.text("comment")
    dataset.add_new(0x00090010, "LO", tokens.text("creator"))
    dataset.PixelPaddingValue = -2000
    return dataset


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_native_encoding_is_cleaned_and_kept(syntax: UID) -> None:
    tokens = Tokens()
    dataset = with_tokens(tokens)
    dataset.file_meta.TransferSyntaxUID = syntax
    values = np.frombuffer(dataset.PixelData, "<i2")
    if not syntax.is_little_endian:
        dataset.PixelData = values.astype(">i2").tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
    )
    source = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
    deidentifier = Deidentifier(load_profile("basic"), new_key())
    deidentifier.harvest(source)
    data = deidentifier.clean(source).file()
    back = pydicom.dcmread(io.BytesIO(data))
    assert back.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(back.pixel_array.ravel(), values)
    assert back.PixelPaddingValue == -2000
    assert back.Rows == 64
    assert not any(token in str(back) for token in tokens.where)
    again = io.BytesIO()
    deidentifier.apply(source).save_as(again, enforce_file_format=True)
    assert again.getvalue() == data


def test_an_object_made_in_memory_is_cleaned_like_one_from_a_file() -> None:
    tokens = Tokens()
    deidentifier = Deidentifier(load_profile("basic"), new_key())
    dataset = with_tokens(tokens)
    deidentifier.harvest(dataset)
    out = deidentifier.apply(dataset, derived=True)
    buffer = io.BytesIO()
    out.save_as(buffer, enforce_file_format=True)
    assert tokens.found_in(buffer.getvalue()) == {}
    assert pydicom.dcmread(io.BytesIO(buffer.getvalue())).PixelPaddingValue == -2000
    assert dataset.PatientComments in tokens.where


def code(value: str, scheme: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def content(kind: str, concept: tuple[str, str, str], **values: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", kind, code(*concept)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def report(tokens: Tokens) -> Dataset:
    """A comprehensive SR with tokens in every kind of content item, some nested."""
    sr = Dataset()
    source = plain_slice()
    for keyword in _OF_EVERY_OBJECT.split():
        sr[keyword] = source[keyword]
    sr.file_meta, sr.preamble = source.file_meta, bytes(128)
    sr.SOPClassUID = sr.file_meta.MediaStorageSOPClassUID = STRUCTURED_REPORT
    sr.Modality, sr.ValueType, sr.ContinuityOfContent = "SR", "CONTAINER", "SEPARATE"
    sr.CompletionFlag, sr.VerificationFlag = "COMPLETE", "UNVERIFIED"
    sr.ReferencedPerformedProcedureStepSequence, sr.PerformedProcedureCodeSequence = Sequence(), Sequence()
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


@pytest.mark.parametrize("profile", ["basic", "share-minimal", "research-longitudinal", "internal-qa"])
def test_no_token_of_a_report_survives_and_measurements_stay(profile: str) -> None:
    tokens = Tokens(letters_only=True)
    source = round_trip(report(tokens))
    assert len(tokens.found_in(written(report(Tokens(letters_only=True))))) == len(tokens.where)
    data = Deidentifier(load_profile(profile), new_key()).clean(source).file()
    assert tokens.found_in(data) == {}
    back = pydicom.dcmread(io.BytesIO(data))
    if profile == "basic":
        assert [item.TextValue for item in back.ContentSequence] == ["REMOVED"]
    else:
        findings = back.ContentSequence[-1].ContentSequence
        assert findings[0].TextValue == "nodule"
        assert findings[1].MeasuredValueSequence[0].NumericValue == 12.5
