"""One file's DICOM header: read without its pixels, bounded before the parser sees it, tolerant of bad values."""

from __future__ import annotations

import io
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import pydicom
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from med_stylesr.errors import InputError
from med_stylesr.io.bounded import MAX_READS, ReadToTheEndError, TooMuchHeaderError, bounded

MAX_INFLATED_BYTES: Final = 1 << 29
"""Most a deflated file may inflate to; a single-frame CT needs a hundredth of it."""
MAX_INFLATION: Final = 100
"""Most that a deflated file may grow by: padded CT slices grow by 20."""
_HARMLESS_BYTES: Final = 1 << 26
"""Files that inflate to less than this may grow by any factor."""
_PIECE: Final = 1 << 20
MAX_DEPTH: Final = 24
"""Sequences inside sequences: the deepest CT functional groups need a third of it."""
MAX_VALUE_BYTES: Final = 1 << 16
"""Header values above this length are no CT header (colour tables, icons, burnt-in reports) and are not kept."""
_LONG: Final = (0x00041220, 0x52009229, 0x52009230)
"""Sequences that may be long: DICOMDIR's records and the functional groups of multi-frame images."""
_MAX_EQUAL: Final = 50_000
_equal: dict[RawDataElement, RawDataElement] = {}
_ITEM: Final = b"\xfe\xff\x00\xe0"
_MAGIC_OFFSET: Final = 128
_CURVES_AND_OVERLAYS: Final = frozenset((*range(0x5000, 0x5200, 2), *range(0x6000, 0x6200, 2)))


@dataclass(frozen=True)
class HeaderFile:
    """The header of one DICOM file and where its pixel data begin.

    Attributes:
        path: the file.
        header: attributes before the pixel data; private attributes, overlays, icons and values longer than
            `MAX_VALUE_BYTES` are left out.
        transfer_syntax: how the file is encoded.
        pixel_offset: byte offset of the pixel data element (in the inflated stream for deflated files), or None when
            the file ends before it.
        marked: whether the file begins with the preamble and prefix of PS3.10, so that it is DICOM beyond doubt.
    """

    path: Path
    header: Dataset
    transfer_syntax: UID
    pixel_offset: int | None
    marked: bool


def looks_like_dicom(start: bytes) -> bool:
    """Whether the first 136 bytes of a file are those of a DICOM file, with or without preamble."""
    if start[_MAGIC_OFFSET : _MAGIC_OFFSET + 4] == b"DICM":
        return True
    # Files of older archives start at once with group 0002 or 0008 (PS3.10 does not allow it; they exist).
    little = start[:2] in (b"\x08\x00", b"\x02\x00") and start[3:4] == b"\x00"
    big = start[:2] == b"\x00\x08" and start[2:3] == b"\x00"
    return len(start) >= 16 and (little or big)


def read_header(path: Path) -> HeaderFile:
    """Read everything before the pixel data of one file.

    Raises:
        InputError: if the file is unreadable, not DICOM, nested too deeply, or inflates to too much.
    """
    name = str(path)
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset, stream = _parsed(file, name)
            offset = stream.tell()
            has_pixels = offset < _size(stream)
            syntax = _transfer_syntax(dataset, deflated=stream is not file)
            header = _kept_part(dataset)
            depth = _depth(header)
    except InputError:
        raise
    except Exception as error:
        if _caused_by(error, RecursionError):
            raise InputError(name, "its sequences are nested too deeply", "do not trust this file") from error
        if _caused_by(error, TooMuchHeaderError):
            raise InputError(name, "its header goes on beyond all bounds", "do not trust this file") from error
        if isinstance(error, OSError) and error.errno is not None:
            why = f"cannot be read ({error.strerror})"
            raise InputError(name, why, "check the disk and the permissions") from error
        # pydicom raises whatever its parser stumbles over in a damaged file, OSError without a number included.
        raise InputError(
            name, f"is no readable DICOM file ({type(error).__name__}: {error})", "export it again"
        ) from error
    if not syntax.is_transfer_syntax:
        raise InputError(name, f"its transfer syntax {syntax} is unknown", "export it again, uncompressed")
    if len(header) == 0:
        raise InputError(name, "has no DICOM attributes", "export it again")
    if depth > MAX_DEPTH:
        raise InputError(name, "its sequences are nested too deeply", "do not trust this file")
    return HeaderFile(path, header, syntax, offset if has_pixels else None, dataset.preamble is not None)


def _parsed(file: BinaryIO, name: str) -> tuple[FileDataset, BinaryIO]:
    """What comes before the pixel data, and the stream that their offset counts in."""
    try:
        return pydicom.dcmread(bounded(file), stop_before_pixels=True, force=True), file
    except ReadToTheEndError:
        # pydicom asks for all the rest of a file only to inflate it.
        file.seek(0)
        stream = inflated(file, name)
    return pydicom.dcmread(bounded(stream), stop_before_pixels=True, force=True), stream


def _caused_by(error: BaseException | None, kind: type[Exception]) -> bool:
    """Whether an error, or one that it covers, is of a kind: pydicom makes others of what stops it in a sequence."""
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error is not None


def inflated(file: BinaryIO, name: str) -> BinaryIO:
    """The file itself, or for the deflated transfer syntax (PS3.5 A.5) an inflated copy in memory, of bounded size.

    Raises:
        InputError: if it inflates to more than `MAX_INFLATED_BYTES` or the stream is damaged.
    """
    # pydicom must not inflate by itself, so its own functions decide whether it would.
    read_preamble(file, force=True)
    given = _read_file_meta_info(file)
    if given.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        file.seek(0)
        return file
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    start_of_file = DicomBytesIO()
    start_of_file.is_little_endian, start_of_file.is_implicit_VR = True, False
    write_file_meta_info(start_of_file, meta, enforce_standard=False)
    whole = io.BytesIO()
    whole.write(b"".join((bytes(_MAGIC_OFFSET), b"DICM", start_of_file.getvalue())))
    _inflate(file, whole, name)
    whole.seek(0)
    return whole


def _inflate(file: BinaryIO, whole: BinaryIO, name: str) -> None:
    """Append what the rest of a file inflates to, piece by piece, so that a bomb is noticed before it has gone off."""
    packed = _size(file) - file.tell()
    most = min(MAX_INFLATED_BYTES, max(_HARMLESS_BYTES, packed * MAX_INFLATION))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    length = 0
    try:
        while piece := file.read(_PIECE):
            while piece and not inflater.eof:
                inflated_piece = inflater.decompress(piece, _PIECE)
                piece = inflater.unconsumed_tail
                length += len(inflated_piece)
                if length > most:
                    raise InputError(name, f"inflates to more than {most >> 20} MB", "do not trust this file")
                whole.write(inflated_piece)
    except zlib.error as error:
        raise InputError(name, f"its deflated data are damaged ({error})", "export it again") from error


def _size(stream: BinaryIO) -> int:
    here = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return end


def _transfer_syntax(dataset: FileDataset, deflated: bool) -> UID:
    if deflated:
        return DeflatedExplicitVRLittleEndian
    uid = dataset.file_meta.get("TransferSyntaxUID")
    if uid:
        return UID(str(uid))
    implicit, little = dataset.original_encoding
    if little is False:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _kept_part(dataset: FileDataset) -> Dataset:
    """The attributes a derived image may need, as parsed but not yet converted, so that reading stays fast."""
    elements: dict[object, DataElement | RawDataElement] = {}
    for element in dataset.values():
        group = element.tag >> 16
        if group % 2 or group in _CURVES_AND_OVERLAYS:
            continue
        if isinstance(element, RawDataElement):
            if len(element.value or b"") > MAX_VALUE_BYTES:
                if element.tag not in _LONG:
                    continue
                if (element.value or b"").count(_ITEM) > MAX_READS:
                    raise TooMuchHeaderError
            element = _shared(element)
        # By the tag of the shared element, which is shared as well.
        elements[element.tag] = element
    header = Dataset(elements)  # type: ignore[arg-type]
    implicit, little = dataset.original_encoding
    header.set_original_encoding(implicit, little, dataset.original_character_set)
    return header


def _shared(element: RawDataElement) -> RawDataElement:
    """One object for all elements that are equal but for their place in the file: slices of a series differ in few."""
    if len(_equal) > _MAX_EQUAL:
        _equal.clear()
    anywhere = RawDataElement(*element[:4], 0, *element[5:])
    return _equal.setdefault(anywhere, anywhere)


def _depth(dataset: Dataset) -> int:
    """Greatest number of sequences around an attribute, found without recursion and given up above `MAX_DEPTH`."""
    level, depth = [dataset], 0
    while depth <= MAX_DEPTH:
        level = [item for inner in level for element in _sequences(inner) for item in element.value]
        if not level:
            break
        depth += 1
    return depth


def _sequences(dataset: Dataset) -> list[DataElement]:
    """Sequence elements of one level; only these are converted."""
    found = []
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
        element = dataset.get_item(tag)
        if element is not None and (element.VR == "SQ" or (element.VR is None and _is_sequence(tag))):
            found.append(dataset[tag])
    return found


def _is_sequence(tag: int) -> bool:
    return pydicom.datadict.dictionary_has_tag(tag) and pydicom.datadict.dictionary_VR(tag) == "SQ"
