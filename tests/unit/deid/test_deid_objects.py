"""Other encodings and other objects than a CT slice: every transfer syntax, structured reports, objects in memory."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from deid_reports import report
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
