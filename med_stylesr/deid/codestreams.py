"""Strips comments and application data out of compressed frames without touching the image in them.

A comment inside a codestream is as good a hiding place as any attribute. Markers: JPEG ITU-T T.81 table B.1, JPEG-LS
ITU-T T.87 annex C, JPEG 2000 ISO/IEC 15444-1 annex A; RLE PS3.5 annex G.
"""

from __future__ import annotations

import itertools
import re
import struct
from typing import Final

from med_stylesr.errors import InputError

_JPEG_DATA_ENDS: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_JPEG_LS_DATA_ENDS: Final = re.compile(rb"\xff+[\x80-\xfe]")
_J2K_START: Final = b"\xff\x4f\xff\x51"
_COLOUR_HEADERS: Final = {
    # Application data that decoders need, in exactly the form that has no room for anything else.
    0xE0: re.compile(rb"JFIF\0.{7}\0\0", re.DOTALL),
    0xEE: re.compile(rb"Adobe.{7}", re.DOTALL),
    0xE8: re.compile(rb"mrfx.", re.DOTALL),
}


def strip_codestream(frame: bytes) -> bytes:
    """The codestream of one frame without comments, application data and anything behind its end.

    Raises:
        InputError: if the markers cannot be followed: what is not understood is not passed on.
    """
    try:
        if frame.startswith(_J2K_START):
            return _strip_jpeg2000(frame)
        if frame.startswith(b"\xff\xd8"):
            return _strip_jpeg(frame)
    except (IndexError, struct.error) as error:
        raise InputError("pixel data", "the compressed frame is cut off or malformed") from error
    raise InputError("pixel data", "the compressed frame is of no kind that can be searched")


def _strip_jpeg(frame: bytes) -> bytes:
    parts, at = [b"\xff\xd8"], 2
    lossless_ls = False
    while True:
        while frame[at] == 0xFF and frame[at + 1] == 0xFF:
            at += 1
        if frame[at] != 0xFF:
            raise InputError("pixel data", "bytes stand between the segments of a JPEG frame")
        marker = frame[at + 1]
        if marker == 0xD9:
            parts.append(b"\xff\xd9")
            return b"".join(parts)
        (length,) = struct.unpack_from(">H", frame, at + 2)
        segment = frame[at : at + 2 + length]
        lossless_ls = lossless_ls or marker == 0xF7
        comment = marker == 0xFE or 0xE0 <= marker <= 0xEF
        needed = _COLOUR_HEADERS.get(marker)
        if not comment or (needed and needed.fullmatch(segment[4:])):
            parts.append(segment)
        at += 2 + length
        if marker == 0xDA:
            ends = (_JPEG_LS_DATA_ENDS if lossless_ls else _JPEG_DATA_ENDS).search(frame, at)
            if ends is None:
                raise InputError("pixel data", "a JPEG frame has no end")
            parts.append(frame[at : ends.start()])
            at = ends.start()


def _strip_jpeg2000(frame: bytes) -> bytes:
    parts, at = [frame[:2]], 2
    while frame[at : at + 2] != b"\xff\x90":
        marker, (length,) = frame[at + 1], struct.unpack_from(">H", frame, at + 2)
        if frame[at] != 0xFF:
            raise InputError("pixel data", "bytes stand between the segments of a JPEG 2000 frame")
        if marker in (0x55, 0x57):
            raise InputError("pixel data", "the JPEG 2000 frame has tables of tile lengths, which cannot be checked")
        if marker != 0x64:
            parts.append(frame[at : at + 2 + length])
        at += 2 + length
    while frame[at : at + 2] == b"\xff\x90":
        (tile_length,) = struct.unpack_from(">I", frame, at + 6)
        stop = at + tile_length if tile_length else len(frame.rstrip(b"\0")) - 2
        parts.append(_strip_tile(frame[at:stop], bool(tile_length)))
        at = stop
    if frame[at : at + 2] != b"\xff\xd9":
        raise InputError("pixel data", "a JPEG 2000 frame has no end")
    parts.append(b"\xff\xd9")
    return b"".join(parts)


def _strip_tile(tile: bytes, has_length: bool) -> bytes:
    header, at = [tile[:12]], 12
    while tile[at : at + 2] != b"\xff\x93":
        (length,) = struct.unpack_from(">H", tile, at + 2)
        if tile[at] != 0xFF or length < 2:
            raise InputError("pixel data", "a tile of a JPEG 2000 frame is malformed")
        if tile[at + 1] != 0x64:
            header.append(tile[at : at + 2 + length])
        at += 2 + length
    stripped = b"".join(header) + tile[at:]
    if not has_length:
        return stripped
    return stripped[:6] + struct.pack(">I", len(stripped)) + stripped[10:]


def strip_rle(frame: bytes, segment_bytes: int) -> bytes:
    """The RLE segments of a frame, each cut where its pixels end, under a header written anew.

    Args:
        frame: encoded frame with its 64-byte header.
        segment_bytes: decoded length of a segment, rows times columns.

    Raises:
        InputError: if a segment does not decode to that length.
    """
    offsets = struct.unpack_from("<16I", frame) if len(frame) >= 64 else (0,)
    number = offsets[0]
    if not 1 <= number <= 15:
        raise InputError("pixel data", "an RLE frame has no valid header")
    bounds = [*offsets[1 : number + 1], len(frame)]
    segments = [_cut_packbits(frame[a:b], segment_bytes) for a, b in itertools.pairwise(bounds)]
    starts, at = [], 64
    for segment in segments:
        starts.append(at)
        at += len(segment)
    header = struct.pack("<16I", number, *starts, *([0] * (15 - number)))
    return header + b"".join(segments)


def _cut_packbits(segment: bytes, decoded_bytes: int) -> bytes:
    at = decoded = 0
    while decoded < decoded_bytes:
        if at >= len(segment):
            raise InputError("pixel data", "an RLE segment ends too early")
        head = segment[at]
        if head < 128:
            decoded += head + 1
            at += head + 2
        else:
            decoded += 257 - head if head > 128 else 0
            at += 2 if head > 128 else 1
    if at > len(segment):
        raise InputError("pixel data", "an RLE segment ends too early")
    return segment[:at] + b"\0" * (at % 2)
