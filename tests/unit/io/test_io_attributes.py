"""Values of headers are read as pydicom reads them, and reading leaves a header as it is: bytes that slices share."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from phantoms import GRADIENT, slice_dataset, stack, write_series
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from med_stylesr.io.attributes import integer, number, numbers, text, word, words
from med_stylesr.io.source import find_inputs

CHARACTER_SET = 0x00080005
"""The one attribute that pydicom must convert to read any other."""


def read(implicit: bool, **values: object) -> Dataset:
    """A header as it comes from a file."""
    dataset = slice_dataset(stack(1), GRADIENT, 0)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer, stop_before_pixels=True)


@pytest.mark.parametrize("implicit", [False, True])
def test_values_are_those_that_pydicom_reads(implicit: bool) -> None:
    header = read(implicit, PatientName="Müller^Jürgen", KVP="120.5", InstanceNumber="7", WindowCenter=["40", "-600"])
    padded = read(implicit, PixelPaddingValue=-2000)
    assert integer(padded, "PixelPaddingValue") == -2000, "signed, as PixelRepresentation says"
    assert (integer(header, "Rows"), integer(header, "InstanceNumber")) == (24, 7)
    assert text(header, "PatientName") == "Müller^Jürgen"
    assert number(header, "KVP") == 120.5
    assert numbers(header, "WindowCenter", 2) == (40.0, -600.0)
    assert words(header, "ImageType") == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert word(header, "Modality") == "CT"


@pytest.mark.parametrize("implicit", [False, True])
def test_what_is_absent_empty_or_of_another_kind_is_nothing(implicit: bool) -> None:
    header = read(implicit, KVP="", StudyID="")
    assert (number(header, "KVP"), integer(header, "KVP"), text(header, "StudyID")) == (None, None, "")
    assert (integer(header, "Modality"), integer(header, "NumberOfFrames"), text(header, "Nonsense")) == (
        None,
        None,
        "",
    )
    assert integer(header, "ImagePositionPatient") is None, "three numbers are not one"


def test_a_malformed_value_is_nothing_however_often_it_is_asked_for() -> None:
    header = Dataset()
    raw = RawDataElement(pydicom.tag.Tag("Rows"), "US", 3, b"abc", 0, False, True)
    header[raw.tag] = raw
    header.set_original_encoding(False, True, "iso8859")
    assert [integer(header, "Rows") for _ in range(3)] == [None] * 3


def test_equal_bytes_in_two_character_sets_are_two_texts() -> None:
    raw = RawDataElement(pydicom.tag.Tag("StudyDescription"), "LO", 4, b"Fu\xc3\x9f", 0, False, True)
    told = []
    for charset in ("utf8", "iso8859"):
        header = Dataset({raw.tag: raw})
        header.set_original_encoding(False, True, charset)
        told.append(text(header, "StudyDescription"))
    assert told[0] == "Fuß" != told[1]


def test_finding_a_series_leaves_its_headers_as_bytes_and_what_is_equal_as_one_object(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(6))
    with find_inputs(tmp_path / "src") as inputs:
        (series,) = inputs.series
    own = {"SOPInstanceUID", "InstanceNumber", "ImagePositionPatient"}
    first = series.headers[1]
    for other in series.headers[2:]:
        for tag in first.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
            if tag == CHARACTER_SET:
                continue
            one, same = first.get_item(tag), other.get_item(tag)
            assert isinstance(one, RawDataElement), f"{tag} was converted"
            assert (one is same) == (pydicom.datadict.keyword_for_tag(tag) not in own), tag
