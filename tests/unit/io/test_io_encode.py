"""Files are, byte for byte, what pydicom writes, and no slice shows what was done to another one's header."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from phantoms import GRADIENT, slice_dataset, stack, write_series
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from test_io_dicom_write import derivation, series_of

from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.elements import element, owned, put
from med_stylesr.io.encode import Encoder

IMPLEMENTATION, VERSION = "1.2.3.4", "TESTED"


def by_pydicom(dataset: Dataset, transfer_syntax: UID) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, dataset.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = transfer_syntax, UID(IMPLEMENTATION)
    meta.ImplementationVersionName = VERSION
    dataset.file_meta = meta
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def nested(dataset: Dataset) -> None:
    item, inner = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "1", "DCM", "Größe"
    item.PurposeOfReferenceCodeSequence = [inner]
    item.is_undefined_length_sequence_item = True
    dataset.SourceImageSequence = [item, Dataset()]
    dataset["SourceImageSequence"].is_undefined_length = True
    dataset.ReferencedImageSequence = [inner, item]
    dataset.RequestAttributesSequence = []


def text(charset: str | list[str], name: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = charset, name

    return change


def all_kinds(dataset: Dataset) -> None:
    dataset.WindowCenter, dataset.WindowWidth, dataset.KVP = [40, -600], [400, 1500], ""
    dataset.TableHeight, dataset.DataCollectionDiameter = "1e-3", 500.25
    dataset.add_new(0x00189445, "UT", "x" * 70_001)
    dataset.FrameIncrementPointer = 0x00540010
    dataset.add_new(0x00080000, "UL", 12)
    dataset.add_new(0x00091001, "UN", b"odd")
    dataset.add_new(0x00189810, "SS", -3)
    dataset.add_new(0x0018605A, "FL", [0.5, 1.25])


CHANGES: dict[str, Callable[[Dataset], Any]] = {
    "nothing": lambda dataset: None,
    "every kind of value": all_kinds,
    "sequences in sequences": nested,
    "Latin": text("ISO_IR 100", "Müller^Jürgen"),
    "UTF-8": text("ISO_IR 192", "山田^太郎"),
    "Japanese by code extension": text(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "no pixel data": lambda dataset: dataset.__delitem__("PixelData"),
    "attributes after the pixel data": lambda dataset: dataset.add_new(0xFFFCFFFC, "OB", bytes(10)),
}


@pytest.mark.parametrize("raw", [False, True], ids=["made in memory", "read from a file"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_file_is_byte_for_byte_what_pydicom_writes(name: str, raw: bool) -> None:
    dataset = slice_dataset(stack(1), GRADIENT, 0)
    CHANGES[name](dataset)
    expected = by_pydicom(dataset, ExplicitVRLittleEndian)
    if raw:
        dataset = pydicom.dcmread(io.BytesIO(expected))
    encoder = Encoder(IMPLEMENTATION, VERSION)
    for _ in range(2):
        assert b"".join(encoder.file(dataset, ExplicitVRLittleEndian)) == expected
    deflated = b"".join(encoder.file(dataset, DeflatedExplicitVRLittleEndian))
    assert deflated == by_pydicom(dataset, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("transfer_syntax", [RLELossless, JPEGLSLossless])
def test_compressed_pixels_are_framed_as_pydicom_does(transfer_syntax: UID) -> None:
    dataset = slice_dataset(stack(1), GRADIENT, 0)
    dataset.compress(transfer_syntax, generate_instance_uid=False)
    written = b"".join(Encoder(IMPLEMENTATION, VERSION).file(dataset, transfer_syntax))
    assert written == by_pydicom(dataset, transfer_syntax)


def test_the_memory_of_an_encoder_never_gives_an_element_the_bytes_of_another() -> None:
    encoder = Encoder(IMPLEMENTATION, VERSION)
    for number in range(6000):
        dataset = Dataset()
        dataset.InstanceNumber, dataset.SeriesDescription = str(number), f"series {number}"
        (piece,) = encoder.dataset(dataset)
        assert str(number).encode() in piece
        assert f"series {number}".encode() in piece


def test_equal_text_in_two_character_sets_has_two_encodings() -> None:
    encoder, told = Encoder(IMPLEMENTATION, VERSION), element("StudyDescription", "Fuß")
    for charset, expected in (("ISO_IR 100", b"Fu\xdf "), ("ISO_IR 192", b"Fu\xc3\x9f")):
        dataset = Dataset()
        put(dataset, SpecificCharacterSet=charset)
        dataset.add(told)
        assert encoder.dataset(dataset)[0].endswith(expected)


def test_a_header_that_is_changed_in_place_leaves_those_of_other_slices_alone(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(4), BodyPartExamined="CHEST")
    series = series_of(tmp_path / "src")
    header = DerivedHeader(series, series.grid, derivation(), None)
    before = [str(header.of(k, None)) for k in range(4)]
    spoilt = header.of(0, None)
    for one in spoilt:
        if one.VR == "SQ":
            one.value.clear()
        elif one.VR in ("LO", "SH", "CS"):
            one.value = "1"
    assert [str(header.of(k, None)) for k in range(4)] == before


def test_putting_a_value_replaces_the_element_and_leaves_the_one_that_was_there() -> None:
    first, second = Dataset(), Dataset()
    put(first, PatientID="A", WindowCenter=("1", "2"))
    put(second, PatientID="A")
    put(second, PatientID="B")
    assert (first.PatientID, second.PatientID) == ("A", "B")
    own = owned(first)
    own.PatientID = "C"
    own.WindowCenter[0] = 7
    assert (first.PatientID, list(first.WindowCenter)) == ("A", [1, 2])


def test_a_keyword_of_no_dictionary_is_refused() -> None:
    with pytest.raises(ValueError, match="no DICOM keyword"):
        element("PatientsShoeSize", "43")
