"""Datasets in explicit VR little endian, byte for byte as pydicom writes them, but each shared element only once."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_sequence_item
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from med_stylesr.io.elements import Value, element

_PIXEL_DATA: Final = 0x7FE00010
_UNDEFINED: Final = 0xFFFFFFFF
_LONGEST_SHORT: Final = 0xFFFF
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PREAMBLE: Final = bytes(128) + b"DICM"
_MAX_REMEMBERED: Final = 4096
_MAX_REMEMBERED_BYTES: Final = 4096


class Encoder:
    """Encodes the datasets of one series; an element or sequence item that it has met is not encoded again.

    It knows them by identity, so what was encoded once must not be changed in place.

    Args:
        implementation_uid: ImplementationClassUID of the file meta information.
        version_name: ImplementationVersionName.
    """

    def __init__(self, implementation_uid: str, version_name: str) -> None:
        self._meta: tuple[tuple[str, Value], ...] = (
            ("ImplementationClassUID", implementation_uid),
            ("ImplementationVersionName", version_name),
        )
        self._known: dict[tuple[int, str], tuple[object, bytes]] = {}

    def file(self, dataset: Dataset, transfer_syntax: UID) -> list[bytes]:
        """A CT image as a DICOM file (PS3.10 section 7.1), in pieces to be written one after the other.

        Args:
            dataset: with its pixel data as `transfer_syntax` asks for.
            transfer_syntax: one of explicit VR little endian, deflated or not, pixels compressed or not.
        """
        head = _PREAMBLE + self._meta_information(str(dataset.SOPInstanceUID), transfer_syntax)
        pieces = self.dataset(dataset)
        if not transfer_syntax.is_deflated:
            return [head, *pieces]
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = b"".join((*(deflater.compress(piece) for piece in pieces), deflater.flush()))
        return [head, packed, bytes(len(packed) % 2)]

    def dataset(self, dataset: Dataset) -> list[bytes]:
        """A dataset: everything before the pixel data in one piece, the pixel data, and what comes after them."""
        given = dataset.get("SpecificCharacterSet") or ""
        charset = given if isinstance(given, str) else "\\".join(given)
        as_it_stands = dataset.original_encoding == (False, True)
        pieces: list[bytes] = []
        run: list[bytes] = []
        for tag in sorted(dataset.keys(), key=int):
            if tag & 0xFFFF == 0:
                # Group lengths are retired (PS3.5 section 7.2).
                continue
            one = dataset.get_item(tag) if as_it_stands else dataset[tag]
            if one is None or (isinstance(one, RawDataElement) and one.VR is None):
                one = dataset[tag]
            if tag == _PIXEL_DATA:
                pieces += [b"".join(run), *_pixel_data(one)]
                run = []
            else:
                run.append(self._element(one, charset))
        return [*pieces, b"".join(run)] if run else pieces

    def _meta_information(self, instance: str, transfer_syntax: UID) -> bytes:
        values: tuple[tuple[str, Value], ...] = (
            ("FileMetaInformationVersion", b"\0\1"),
            ("MediaStorageSOPClassUID", CTImageStorage),
            ("MediaStorageSOPInstanceUID", instance),
            ("TransferSyntaxUID", transfer_syntax),
            *self._meta,
        )
        body = b"".join(self._element(element(keyword, value), "") for keyword, value in values)
        return _head(0x00020000, "UL", 4) + struct.pack("<L", len(body)) + body

    def _element(self, one: DataElement | RawDataElement, charset: str) -> bytes:
        if isinstance(one, RawDataElement) and one.length != _UNDEFINED and len(one.value or b"") <= _LONGEST_SHORT:
            value = one.value or b""
            return _head(one.tag, one.VR or "", len(value)) + value
        return self._remembered(one, charset)

    def _remembered(self, one: DataElement | RawDataElement | Dataset, charset: str) -> bytes:
        found = self._known.get((id(one), charset))
        if found is not None:
            return found[1]
        encoded = self._item(one, charset) if isinstance(one, Dataset) else self._encoded(one, charset)
        if len(encoded) <= _MAX_REMEMBERED_BYTES:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            # The object is kept, so that no other one can get its identity.
            self._known[id(one), charset] = one, encoded
        return encoded

    def _encoded(self, one: DataElement | RawDataElement, charset: str) -> bytes:
        if isinstance(one, DataElement) and one.VR == "SQ" and not one.is_undefined_length:
            items = b"".join(self._remembered(item, charset) for item in one.value)
            return _head(one.tag, "SQ", len(items)) + items
        buffer = _buffer()
        write_data_element(buffer, one, _encodings(charset))
        return buffer.getvalue()

    def _item(self, item: Dataset, charset: str) -> bytes:
        buffer = _buffer()
        write_sequence_item(buffer, item, _encodings(charset))
        return buffer.getvalue()


def _pixel_data(one: DataElement | RawDataElement) -> list[bytes]:
    """Native pixel data with their length, encapsulated ones (PS3.5 A.4) with their end."""
    value = one.value or b""
    if one.length == _UNDEFINED if isinstance(one, RawDataElement) else one.is_undefined_length:
        return [_head(_PIXEL_DATA, "OB", _UNDEFINED), value, _SEQUENCE_END]
    return [_head(_PIXEL_DATA, one.VR or "OW", len(value)), value]


def _head(tag: int, vr: str, length: int) -> bytes:
    """Tag, VR and length of an element (PS3.5 section 7.1.2)."""
    form = "<HH2sHL" if vr in EXPLICIT_VR_LENGTH_32 else "<HH2sH"
    code = vr.encode("ascii")
    if vr in EXPLICIT_VR_LENGTH_32:
        return struct.pack(form, tag >> 16, tag & 0xFFFF, code, 0, length)
    return struct.pack(form, tag >> 16, tag & 0xFFFF, code, length)


def _encodings(charset: str) -> list[str]:
    return charset.split("\\") if charset else ["iso8859"]


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer
