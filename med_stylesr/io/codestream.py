"""Image size that a compressed frame itself claims, so that it is known before a decoder allocates memory for it."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

LOSSY_METHODS: Final = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
    HTJ2K: "ISO_15444_15",
}
"""LossyImageCompressionMethod (PS3.3 C.7.6.1.1.5.1) of transfer syntaxes that may be lossy."""
_J2K: Final = (*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_J2K_START: Final = b"\xff\x4f\xff\x51"
_END_OF_IMAGE: Final = b"\xff\xd9"
_MAX_PADDING: Final = 64
_START_OF_FRAME: Final = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH: Final = frozenset((*range(0xD0, 0xDA), 0x01))


class CodedSize(NamedTuple):
    """What a codestream says of its image."""

    rows: int
    columns: int
    components: int


def coded_size(frame: bytes, transfer_syntax: UID) -> CodedSize | None:
    """Size in the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None where there is none to be found.

    RLE carries no size; for it the size is never None but (0, 0, segments).

    Source: ISO/IEC 10918-1 B.2.2 (SOF), 14495-1 C.2.2 (SOF55), 15444-1 A.5.1 (SIZ); PS3.5 Annex G (RLE header).
    """
    if transfer_syntax == RLELossless:
        return CodedSize(0, 0, struct.unpack_from("<L", frame)[0]) if len(frame) >= 64 else None
    if transfer_syntax in _J2K:
        return _j2k(frame)
    return _jpeg(frame)


def is_whole(frame: bytes, transfer_syntax: UID) -> bool:
    """Whether a codestream reaches its end marker (EOI, EOC); decoders take a cut one for a whole or think for long.

    RLE has no end marker; its decoder counts what it gets.
    """
    return transfer_syntax == RLELossless or frame.rfind(_END_OF_IMAGE, max(0, len(frame) - _MAX_PADDING)) >= 0


def _j2k(frame: bytes) -> CodedSize | None:
    start = frame.find(_J2K_START, 0, 4096)
    if start < 0 or len(frame) < start + 42:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4L", frame, start + 8)
    (components,) = struct.unpack_from(">H", frame, start + 40)
    return CodedSize(y1 - y0, x1 - x0, components)


def _jpeg(frame: bytes) -> CodedSize | None:
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 10 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _START_OF_FRAME:
            rows, columns, components = struct.unpack_from(">HHB", frame, at + 5)
            return CodedSize(rows, columns, components)
        if marker == 0xFF:
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None
