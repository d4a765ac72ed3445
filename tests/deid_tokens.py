"""Synthetic objects with a unique token in every place where an identifier can hide, and the search for them."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from med_stylesr.deid.table import allowed_tags, attribute_rules

TEXT_VRS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")
STRUCTURAL = frozenset(
    # What makes the object a readable CT slice; tokens in these are tests of their own.
    {0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E, 0x00280002, 0x00280004, 0x00280010}
    | {0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x7FE00010, 0x00280008, 0x7FE00001, 0x7FE00002}
    | {0x00280006, 0x00280301, 0x7FE00008, 0x7FE00009, 0x00080064, 0x0020000D, 0x00281052, 0x00281053}
)
_LETTERS = str.maketrans("0123456789", "BVJWPLTRGH")


@dataclass
class Tokens:
    """Unique tokens: `where` maps each to the place it was put.

    Tokens of letters alone have no form that gives them away; those with digits look like numbers of somebody.
    """

    letters_only: bool = False
    where: dict[str, str] = field(default_factory=dict)
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def text(self, place: str) -> str:
        """A new token of letters and digits, at most 10 characters, valid in every text VR."""
        number = f"{next(self._count):05d}"
        token = f"QX{number.translate(_LETTERS) if self.letters_only else number}ZK"
        self.where[token] = place
        return token

    def date(self, place: str) -> str:
        """A new date that no other place has."""
        n = next(self._count)
        token = f"{1931 + n // 336:04d}{n % 336 // 28 + 1:02d}{n % 28 + 1:02d}"
        self.where[token] = place
        return token

    def uid(self, place: str) -> str:
        """A new UID under an example root."""
        token = f"1.2.826.0.1.3680043.2.1143.{90000 + next(self._count)}.77"
        self.where[token] = place
        return token

    def found_in(self, data: bytes) -> dict[str, str]:
        """Tokens that are in the bytes in any of several encodings, with where they had been put."""
        lower = data.lower()
        found = {}
        for token, place in self.where.items():
            plain = token.lower().encode()
            forms = (plain, token.lower().encode("utf-16-le"), token.lower().encode("utf-16-be"))
            if any(form in lower for form in forms):
                found[token] = place
        return found


def plain_slice(rows: int = 64) -> FileDataset:
    """A valid CT slice without tokens, explicit VR little endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.2.1143.1.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = "1.2.826.0.1.3680043.2.1143.9"
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        "1.2.826.0.1.3680043.2.1143.1.2",
        "1.2.826.0.1.3680043.2.1143.1.3",
    )
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.2.1143.1.4"
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = (
        "Quillfeather^Zebediah",
        "MRN7734951",
        "ACC5519382",
    )
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19310511", "M", "093Y"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240229", "101530", "ST88123"
    dataset.ContentDate = dataset.AcquisitionDate = dataset.SeriesDate = "20240229"
    dataset.ContentTime = dataset.AcquisitionTime = "101531"
    dataset.ReferringPhysicianName, dataset.InstitutionName = "Oakenshield^Thora", "Saint Brunhilde Hospital"
    dataset.Manufacturer, dataset.ManufacturerModelName = "GE MEDICAL SYSTEMS", "LightSpeed VCT"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 3, 1, 17
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition, dataset.KVP, dataset.ConvolutionKernel = "HFS", "120", "STANDARD"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-100, -100, 12.5], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness, dataset.PositionReferenceIndicator = [0.7, 0.7], "1.25", "SN"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = rows
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "HU"
    noise = np.random.default_rng(7).normal(-400, 60, (rows, rows))
    dataset.PixelData = noise.astype("<i2").tobytes()
    return dataset


def value_with_token(vr: str, tokens: Tokens, place: str) -> object | None:
    """A value of a VR that carries a token, or None where the VR has no room for one."""
    if vr in TEXT_VRS:
        return tokens.text(place)
    if vr in ("DA", "DT"):
        return tokens.date(place)
    if vr == "UI":
        return tokens.uid(place)
    if vr in ("OB", "OW", "UN", "OF", "OD", "OL", "OV"):
        return tokens.text(place).encode().ljust(24, b"\0")
    if vr == "SQ":
        item = Dataset()
        item.add_new(0x00100010, "PN", tokens.text(place + " name"))
        item.add_new(0x00080104, "LO", tokens.text(place + " code meaning"))
        item.add_new(0x0040A160, "UT", tokens.text(place + " text"))
        return Sequence([item])
    return None


def every_attribute(tokens: Tokens) -> FileDataset:
    """A CT slice with a token in every attribute of table E.1-1 and of the allow-list."""
    dataset = plain_slice()
    fill(dataset, tokens, "top")
    return dataset


def fill(dataset: Dataset, tokens: Tokens, level: str) -> None:
    """Put tokens into all public attributes of one level."""
    for tag in sorted(set(attribute_rules()) | set(allowed_tags())):
        if tag in STRUCTURAL or tag >> 16 in (0, 2) or tag >> 16 >= 0xFFFA:
            continue
        vr = dictionary_vr(tag)
        value = value_with_token(vr, tokens, f"{level} {tag:08X} {vr}")
        if value is not None:
            dataset[tag] = lenient(tag, vr, value)


def lenient(tag: int, vr: str, value: object) -> DataElement | RawDataElement:
    """An element that pydicom writes as it is, valid or not."""
    if vr == "SQ" or not isinstance(value, (str, bytes)):
        return DataElement(tag, vr, value)
    data = value.encode() if isinstance(value, str) else value
    data += b" " * (len(data) % 2) if vr != "UI" else b"\0" * (len(data) % 2)
    return RawDataElement(Tag(tag), vr, len(data), data, 0, False, True)


def dictionary_vr(tag: int) -> str:
    """VR of the dictionary; attributes newer than pydicom's get LO."""
    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        return "LO"


def hiding_places(tokens: Tokens) -> FileDataset:
    """A CT slice with tokens in structures: nesting, private blocks, groups 50xx and 60xx, padding, NUL tails."""
    dataset = plain_slice()
    for sequence, inner in ((0x00081140, 0x0040A170), (0x00082112, 0x0040A170), (0x00400275, 0x00400008)):
        deepest = Dataset()
        fill(deepest, tokens, f"nested in {sequence:08X}")
        deepest.add_new(0x00110010, "LO", tokens.text("nested private creator"))
        deepest.add_new(0x00111001, "UN", tokens.text("nested private value").encode())
        middle = Dataset()
        middle.add_new(inner, "SQ", Sequence([deepest]))
        middle.add_new(0x00081150, "UI", CTImageStorage)
        middle.add_new(0x00081155, "UI", tokens.uid("reference"))
        middle.add_new(0x0008114A, "SQ", Sequence([deepest]))
        dataset.add_new(sequence, "SQ", Sequence([middle]))
    for group in (0x0009, 0x0019, 0x0029, 0x0043, 0x7053, 0x01F1):
        creator = {0x0019: "GEMS_ACQU_01", 0x0043: "GEMS_PARM_01", 0x01F1: "ELSCINT1"}.get(group)
        dataset.add_new(group << 16 | 0x10, "LO", creator or tokens.text("private creator"))
        for low, vr in enumerate(("LO", "UN", "SH", "OB", "DS", "UT", "CS", "PN", "IS", "ST")):
            for block in (0x1000, 0x1100):
                tag = group << 16 | block | (0x23 + low)
                value = tokens.text(f"private {vr}")
                dataset[tag] = lenient(tag, vr, value)
    for group in (0x5000, 0x5002, 0x6000, 0x6002, 0x60FE):
        for element, vr in (
            (0x0022, "LO"),
            (0x1500, "LO"),
            (0x4000, "LT"),
            (0x3000, "OW"),
            (0x0010, "LO"),
            (0x2500, "LO"),
        ):
            tag = group << 16 | element
            dataset[tag] = lenient(tag, vr, tokens.text(f"repeating group {tag:08X}"))
    for tag, vr, text in (
        (0x00181210, "SH", "STANDARD"), (0x00080070, "LO", "SIEMENS"), (0x00180015, "CS", "CHEST"),
        (0x00280030, "DS", "0.7\\0.7"), (0x00185100, "CS", "HFS"), (0x00081030, "LO", "CHEST"),
    ):  # fmt: skip
        hidden = f"{text}\0{tokens.text(f'behind NUL in {tag:08X}')}".encode()
        dataset[tag] = lenient(tag, vr, hidden)
    for tag, vr in ((0x00180060, "DS"), (0x00181151, "IS"), (0x00281050, "DS"), (0x00189345, "FD"), (0x00280106, "US")):
        value = tokens.text(f"number {tag:08X}").encode().ljust(16, b"0")
        dataset[tag] = RawDataElement(Tag(tag), vr, 16, value, 0, False, True)
    for tag in (0x00180022, 0x00181160, 0x00081090, 0x00204000):
        dataset[tag] = lenient(tag, "UN", tokens.text(f"UN {tag:08X}"))
    dataset[0x00204001] = lenient(0x00204001, "LO", tokens.text("no tag of the standard"))
    dataset[0x00080000] = lenient(0x00080000, "UL", b"QXGL")
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon[0x7FE00010] = lenient(0x7FE00010, "OB", tokens.text("icon pixels"))
    dataset.add_new(0x00880200, "SQ", Sequence([icon]))
    dataset[0x00420011] = lenient(0x00420011, "OB", tokens.text("encapsulated document"))
    dataset[0xFFFCFFFC] = lenient(0xFFFCFFFC, "OB", tokens.text("trailing padding"))
    dataset.preamble = tokens.text("preamble").encode().ljust(128, b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = tokens.text("source AE")
    dataset.file_meta.ImplementationVersionName = tokens.text("implementation version")
    dataset.file_meta.add_new(0x00020100, "UI", tokens.uid("private information creator"))
    dataset.file_meta.add_new(0x00020102, "OB", tokens.text("private information").encode() + b"\0")
    dataset.PixelData += tokens.text("behind the pixels").encode() + b"\0"
    return dataset


def written(dataset: Dataset) -> bytes:
    """The file of a data set, with nothing corrected."""
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=False)
    return buffer.getvalue()


def nifti_with_tokens(tokens: Tokens) -> bytes:
    """A NIfTI-1 file with tokens in every text field, an extension and behind the voxels."""
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 4, 4, 4, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    for offset in (4, 14, 148, 228, 328):
        token = tokens.text(f"NIfTI field at {offset}").encode()
        header[offset : offset + len(token)] = token
    extension = tokens.text("NIfTI extension").encode().ljust(24, b"\0")
    struct.pack_into("<f", header, 108, 352 + 8 + 24)
    header[344:348] = b"n+1\0"
    voxels = np.arange(64, dtype="<i2").tobytes()
    tail = tokens.text("behind the voxels").encode()
    return bytes(header) + b"\1\0\0\0" + struct.pack("<ii", 32, 6) + extension + voxels + tail


def nrrd_with_tokens(tokens: Tokens) -> bytes:
    """An NRRD file with tokens in comments, key-value pairs and unknown fields."""
    head = (
        f"NRRD0004\n# {tokens.text('NRRD comment')}\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
        f"endian: little\nspace: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        f"space origin: (0,0,0)\ncontent: {tokens.text('NRRD content')}\nPatient:={tokens.text('NRRD pair')}\n"
        f"sample units: {tokens.text('NRRD units')}\n\n"
    )
    return head.encode() + np.arange(64, dtype="<i2").tobytes() + tokens.text("behind the NRRD voxels").encode()


def mha_with_tokens(tokens: Tokens) -> bytes:
    """A MetaImage file with tokens in comments and additional fields, compressed."""
    body = zlib.compress(np.arange(64, dtype="<i2").tobytes())
    head = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nCompressedDataSize = {len(body)}\n"
        f"Comment = {tokens.text('MHA comment')}\nName = {tokens.text('MHA name')}\nDimSize = 4 4 4\n"
        f"ElementSpacing = 1 1 1\nOffset = 0 0 0\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    return head.encode() + body


def round_trip(dataset: Dataset) -> Dataset:
    """The data set as it is read from its file."""
    from pydicom import dcmread

    return dcmread(io.BytesIO(written(dataset)))
