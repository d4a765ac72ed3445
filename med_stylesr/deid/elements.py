"""Data elements as tag, VR and bytes: reading them out of pydicom data sets at every depth and encoding them again.

Working on bytes keeps two promises: what is not understood is not copied, and equal values are cleaned only once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag

from med_stylesr.errors import InputError

MAX_DEPTH: Final = 32
"""Sequences nested deeper than any IOD nests them are a broken or hostile file."""
UNDEFINED: Final = 0xFFFFFFFF
CHARACTER_SET: Final = 0x00080005
CONTENT_SEQUENCE: Final = 0x0040A730
CONCEPT_NAME: Final = 0x0040A043
PIXEL_DATA: Final = 0x7FE00010

Encodings = tuple[str, ...]
DEFAULT_ENCODINGS: Final[Encodings] = ("iso8859",)

_TEXT_VRS: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN"})
_ONE_VALUE: Final = frozenset({"ST", "LT", "UT", "UR"})
_LONG_LENGTH: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_TEXT_LIKE: Final = _TEXT_VRS | {"CS", "AE"}
_DELIMITERS: Final = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}
_OTHER_ENCODINGS: Final = ("utf-8", "gb18030", "shift_jis", "euc_kr")


class Element(NamedTuple):
    """An element to be written: its value is encoded bytes; encapsulated pixel data has an undefined length."""

    tag: int
    vr: str
    value: bytes
    undefined_length: bool = False


@dataclass(frozen=True)
class Leaf:
    """An element that is no sequence: tag, VR as the standard has it, raw bytes, and what the text is encoded in."""

    tag: int
    vr: str
    value: bytes
    encodings: Encodings = DEFAULT_ENCODINGS
    concept: tuple[str, str] | None = None

    def strings(self) -> list[str]:
        """Values as text, up to the first NUL, without padding."""
        text = decode(self.value, self.encodings if self.vr in _TEXT_VRS else DEFAULT_ENCODINGS)
        values = [text] if self.vr in _ONE_VALUE else text.split("\\")
        return [v.split("\0")[0].strip() for v in values]


@lru_cache(maxsize=4096)
def decode(value: bytes, encodings: Encodings) -> str:
    """Text of bytes under the character sets of a data set; bytes that do not fit become U+FFFD."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    try:
        return decode_bytes(value, encodings, _DELIMITERS)
    except (LookupError, UnicodeError):
        return value.decode("latin-1").replace("\x1b", "\ufffd")


@lru_cache(maxsize=1024)
def other_readings(value: bytes) -> tuple[str, ...]:
    """What bytes that are not ASCII would say in other character sets than the declared one."""
    readings = []
    for encoding in _OTHER_ENCODINGS if not value.isascii() else ():
        try:
            readings.append(value.decode(encoding))
        except UnicodeError:
            continue
    return tuple(readings)


@lru_cache(maxsize=4096)
def dictionary_vrs(tag: int) -> tuple[str, ...]:
    """VRs that the data dictionary (PS3.6) gives a public tag; none for unknown and private tags."""
    if (tag >> 16) % 2:
        return ()
    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return ()


@lru_cache(maxsize=4096)
def effective_vr(tag: int, declared: str | None) -> str | None:
    """The VR to read a public element with, or None when the declared one cannot be meant.

    UN and implicit VR get the dictionary's VR; a text VR may stand for another text VR, DS for IS and the reverse.
    """
    known = dictionary_vrs(tag)
    if not known:
        return declared
    if declared in known:
        return declared
    if declared is None or declared == "UN" or len(declared) != 2:
        return known[0]
    for group in (_TEXT_LIKE, {"DS", "IS"}, {"OB", "OW", "OF", "OD", "OL", "OV"}, {"US", "SS"}):
        if declared in group and known[0] in group:
            return declared
    return None


def private_vr(tag: int, declared: str | None, creator: str) -> str | None:
    """The VR of a private element, taken from pydicom's private dictionary where the file does not say."""
    if declared not in (None, "UN"):
        return declared
    try:
        return private_dictionary_VR(Tag(tag), creator)
    except KeyError:
        return None


def encodings_of(dataset: Dataset, inherited: Encodings) -> Encodings:
    """Python codecs of the data set's Specific Character Set.

    Raises:
        InputError: if the character set is none of the standard's: text could not be searched.
    """
    element = dataset.get_item(CHARACTER_SET)
    if element is None:
        return inherited
    return _codecs(raw_value(element, True, DEFAULT_ENCODINGS))


@lru_cache(maxsize=256)
def _codecs(value: bytes) -> Encodings:
    from pydicom.charset import python_encoding

    names = [n.strip(" \0") for n in value.decode("ascii", "replace").split("\\")]
    if any(name not in python_encoding for name in names):
        raise InputError("SpecificCharacterSet", "is none of the standard's, so text cannot be searched")
    return tuple(convert_encodings(names))


def raw_value(element: DataElement | RawDataElement, little_endian: bool, encodings: Encodings) -> bytes:
    """The encoded value of an element, as read or as pydicom would write it."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    if element.is_empty:
        return b""
    if element.VR in ("OB", "OW", "UN", "OF", "OD", "OL", "OV") and isinstance(element.value, bytes):
        return element.value
    if " or " in element.VR and not isinstance(element.value, bytes):
        numbers = [int(n) for n in (element.value if element.VM > 1 else [element.value])]
        code = "h" if min(numbers) < 0 else "H"
        return struct.pack(f"{'<' if little_endian else '>'}{len(numbers)}{code}", *numbers)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = little_endian, True
    write_data_element(buffer, element, list(encodings))
    return buffer.getvalue()[8:]


def leaves(
    dataset: Dataset,
    encodings: Encodings = DEFAULT_ENCODINGS,
    concept: tuple[str, str] | None = None,
    depth: int = 0,
) -> Iterator[Leaf]:
    """Every element at every depth that is no sequence and no pixel data.

    Raises:
        InputError: if sequences are nested deeper than `MAX_DEPTH`.
    """
    check_depth(depth)
    encodings = encodings_of(dataset, encodings)
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset decodes every element
        element = dataset.get_item(tag)
        assert element is not None
        vr = effective_vr(tag, element.VR)
        if vr == "SQ" or element.VR == "SQ":
            for item in sequence_items(dataset, tag):
                name = concept_of(item) if tag == CONTENT_SEQUENCE else concept
                yield from leaves(item, encodings, name, depth + 1)
        elif tag != PIXEL_DATA:
            yield Leaf(int(tag), vr or "UN", raw_value(element, True, encodings), encodings, concept)


def check_depth(depth: int) -> None:
    """Refuse nesting deeper than `MAX_DEPTH`."""
    if depth > MAX_DEPTH:
        raise InputError("nested sequences", f"are more than {MAX_DEPTH} levels deep")


def sequence_items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Items of a sequence; an element that cannot be read as one has none."""
    value = dataset[tag].value
    return (
        [item for item in value if isinstance(item, Dataset)] if not isinstance(value, (str, bytes)) and value else []
    )


def concept_of(item: Dataset) -> tuple[str, str] | None:
    """(coding scheme designator, code value) of a content item's concept name."""
    return code_of(item, CONCEPT_NAME)


def code_of(item: Dataset, tag: int) -> tuple[str, str] | None:
    """(coding scheme designator, code value) of the first code in a sequence."""
    codes = sequence_items(item, tag) if tag in item else []
    if not codes:
        return None
    return str(codes[0].get("CodingSchemeDesignator", "")), str(codes[0].get("CodeValue", ""))


def encode(elements: Iterable[Element], implicit_vr: bool, little_endian: bool) -> bytes:
    """Encode elements in tag order (PS3.5 chapter 7)."""
    order = "<" if little_endian else ">"
    parts = []
    for tag, vr, value, undefined in sorted(elements):
        length = UNDEFINED if undefined else len(value)
        group, number = tag >> 16, tag & 0xFFFF
        if implicit_vr:
            parts.append(struct.pack(order + "HHI", group, number, length))
        elif vr in _LONG_LENGTH:
            parts.append(struct.pack(order + "HH2sHI", group, number, vr.encode("ascii"), 0, length))
        else:
            parts.append(struct.pack(order + "HH2sH", group, number, vr.encode("ascii"), length))
        parts.append(value)
        if undefined:
            parts.append(struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0))
    return b"".join(parts)


def encode_items(items: Iterable[Iterable[Element]], implicit_vr: bool, little_endian: bool) -> bytes:
    """Encode the items of a sequence, each with its length (PS3.5 section 7.5)."""
    order = "<" if little_endian else ">"
    parts = []
    for item in items:
        body = encode(item, implicit_vr, little_endian)
        parts += [struct.pack(order + "HHI", 0xFFFE, 0xE000, len(body)), body]
    return b"".join(parts)


def padded(value: bytes, vr: str) -> bytes:
    """Value padded to even length as its VR asks."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ")
