"""Pixels of one slice: located, bounded, decoded, and turned into stored values and HU."""

from __future__ import annotations

import os
import struct
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames, parse_basic_offsets, parse_fragments
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from med_stylesr.errors import InputError
from med_stylesr.io.attributes import integer, number, word
from med_stylesr.io.codestream import coded_size, is_whole
from med_stylesr.io.header import inflated
from med_stylesr.io.quiet import silenced
from med_stylesr.io.rescale import rescaled
from med_stylesr.io.series import SliceFile

_PIXEL_DATA: Final = (0x7FE0, 0x0010)
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = b"\xfe\xff\x00\xe0"
_DESCRIPTION: Final = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_PLUGINS: Final = {
    "pydicom": (RLELossless,),
    "pylibjpeg": (*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL),
    "gdcm": (JPEGBaseline8Bit, JPEGLossless, JPEGLosslessSV1),
}
_MAX_EXCESS_BYTES: Final = 1 << 16
"""How much more than twice the raw frame a compressed frame may take; more is no compression but an attack."""


def stored_values(file: SliceFile, header: Dataset) -> NDArray[Any]:
    """Stored pixel values of one slice, shape (rows, columns), by BitsStored, HighBit and PixelRepresentation.

    Raises:
        InputError: if the pixel data are missing, truncated, of another size than the header says, or cannot be
            decoded.
    """
    name = str(file.path)
    rows, columns, allocated, stored, high, sign = _whole_numbers(header)
    try:
        with file.path.open("rb") as raw:
            stream = inflated(raw, name) if file.transfer_syntax.is_deflated else raw
            frame = _frame(stream, file, rows * columns * allocated // 8)
    except OSError as error:
        why = f"cannot be read ({error.strerror or error})"
        raise InputError(name, why, "check the disk and the permissions") from error
    signed = sign == 1
    if file.transfer_syntax.is_encapsulated:
        # Codecs deliver their samples at the low end of the word, whatever HighBit says.
        return _significant_bits(_decoded(frame, file, header), stored, stored - 1, signed)
    order = ">" if file.transfer_syntax == ExplicitVRBigEndian else "<"
    values: NDArray[Any] = np.frombuffer(frame, dtype=f"{order}u{allocated // 8}")
    return _significant_bits(values.reshape(rows, columns), stored, high, signed)


def _whole_numbers(header: Dataset) -> tuple[int, int, int, int, int, int]:
    """Rows, Columns, BitsAllocated, BitsStored, HighBit and PixelRepresentation; 0 where one is missing."""
    rows, columns, allocated, stored, high, sign = (integer(header, keyword) or 0 for keyword in _DESCRIPTION)
    return rows, columns, allocated, stored, high, sign


def hounsfield(stored: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """HU = RescaleSlope x stored + RescaleIntercept (PS3.3 C.11.1): int16 when that is exact, else float32."""
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None or intercept is None:
        raise InputError(word(header, "SOPInstanceUID"), "has no RescaleSlope and RescaleIntercept", "export it again")
    return rescaled(stored, slope, intercept)


def _significant_bits(values: NDArray[Any], bits: int, high_bit: int, signed: bool) -> NDArray[Any]:
    """Native-endian values of `bits` bits that end at `high_bit`; what stands in the other bits is no pixel data."""
    width = values.dtype.itemsize * 8
    container = values.astype(np.dtype(f"u{width // 8}"), copy=False)
    bits = min(bits, width)
    left = width - 1 - min(high_bit, width - 1)
    if left:
        container = container << left
    if signed:
        container = container.view(f"i{width // 8}")
    return container >> (width - bits) if width > bits else container


def _frame(stream: BinaryIO, file: SliceFile, size: int) -> bytes:
    """Bytes of one frame as they stand in the file, at most `size` (native) or about twice that (compressed)."""
    name = str(file.path)
    order = ">" if file.transfer_syntax == ExplicitVRBigEndian else "<"
    stream.seek(file.pixel_offset)
    start = stream.read(8)
    if len(start) < 8 or struct.unpack(f"{order}HH", start[:4]) != _PIXEL_DATA:
        raise InputError(name, "has no integer pixel data (7FE0,0010)", "export it again")
    if file.transfer_syntax == ImplicitVRLittleEndian:
        (length,) = struct.unpack("<L", start[4:])
    else:
        length_field = stream.read(4) if start[4:6] in (b"OW", b"OB", b"UN") else b""
        if len(length_field) < 4:
            raise InputError(name, "its pixel data element is damaged", "export it again")
        (length,) = struct.unpack(f"{order}L", length_field)
    if file.transfer_syntax.is_encapsulated != (length == _UNDEFINED):
        raise InputError(name, "its pixel data are not encoded as its transfer syntax says", "export it again")
    if length == _UNDEFINED:
        return _compressed_frame(stream, file, 2 * size + _MAX_EXCESS_BYTES)
    if length < size * file.frames:
        raise InputError(
            name, f"has {length} bytes of pixel data where {size * file.frames} are needed", "export it again"
        )
    stream.seek(size * file.frame, 1)
    frame = stream.read(size)
    if len(frame) < size:
        raise InputError(name, "is cut off: its pixel data are incomplete", "copy it again")
    return frame


def _compressed_frame(stream: BinaryIO, file: SliceFile, limit: int) -> bytes:
    name = str(file.path)
    base = stream.tell()
    try:
        spans = _frame_spans(file.path, base, file.frames) if file.frames > 1 else [(base, limit + 1024)]
        begin, length = spans[file.frame]
        stream.seek(begin)
        data = stream.read(min(length, limit + 1024))
        if file.frames > 1:
            data = _ITEM + bytes(4) + data
        return next(generate_frames(data, number_of_frames=1))
    except (ValueError, StopIteration, IndexError, struct.error) as error:
        raise InputError(name, f"its compressed pixel data are damaged ({error})", "export it again") from error


@lru_cache(maxsize=4)
def _frame_spans(path: Path, base: int, frames: int) -> list[tuple[int, int]]:
    """Begin and length in the file of each frame's fragment items, found once a file."""
    with path.open("rb") as stream:
        stream.seek(base)
        offsets = parse_basic_offsets(stream)
        first = stream.tell()
        count, starts = parse_fragments(stream)
        end = stream.seek(0, os.SEEK_END)
    if offsets and len(offsets) == frames:
        begins = [first + o for o in offsets]
    elif count == frames:
        begins = list(starts)
    else:
        raise ValueError(f"{count} fragments for {frames} frames")
    return [(b, e - b) for b, e in zip(begins, [*begins[1:], end], strict=True)]


def _decoded(frame: bytes, file: SliceFile, header: Dataset) -> NDArray[Any]:
    name, (rows, columns, allocated, *_) = str(file.path), _whole_numbers(header)
    if not is_whole(frame, file.transfer_syntax):
        raise InputError(name, "is cut off: its compressed pixel data have no end", "copy it again")
    size = coded_size(frame, file.transfer_syntax)
    expected = (0, 0, allocated // 8) if file.transfer_syntax == RLELossless else (rows, columns, 1)
    if size is None or tuple(size) != expected:
        said = "no size" if size is None else f"{size.rows} x {size.columns} x {size.components}"
        raise InputError(name, f"its compressed image says {said}, its header {rows} x {columns}", "export it again")
    try:
        with warnings.catch_warnings(), silenced():
            warnings.simplefilter("ignore")
            if file.transfer_syntax in JPEGLSTransferSyntaxes:
                return _jpeg_ls(frame, rows, columns)
            return _by_pydicom(frame, file.transfer_syntax, header)
    except Exception as error:
        # Codecs raise whatever their libraries do; all mean that this frame cannot be had.
        why = f"its pixel data cannot be decoded ({file.transfer_syntax.name}: {error})"
        raise InputError(name, why, "export it uncompressed") from error


def _jpeg_ls(frame: bytes, rows: int, columns: int) -> NDArray[Any]:
    import jpeg_ls

    buffer, info = jpeg_ls.decode_pixel_data(frame)
    return np.frombuffer(buffer, dtype=np.uint8 if info["bits_per_sample"] <= 8 else np.uint16).reshape(rows, columns)


def _by_pydicom(frame: bytes, transfer_syntax: UID, header: Dataset) -> NDArray[Any]:
    rows, columns, allocated, stored, _, sign = _whole_numbers(header)
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": word(header, "PhotometricInterpretation"),
        "bits_allocated": allocated,
        "bits_stored": stored,
        "pixel_representation": sign,
        "pixel_keyword": "PixelData",
    }
    # One decoder a codec: a second one tried after a failure would only fail again, and tell it on standard error.
    plugin = next((name for name, syntaxes in _PLUGINS.items() if transfer_syntax in syntaxes), "")
    encoded = encapsulate([frame], has_bot=False)
    decoder = get_decoder(transfer_syntax)
    values, _ = decoder.as_array(encoded, index=0, raw=True, decoding_plugin=plugin, **options)
    return values
