"""Voxels of a MetaImage looked at before SimpleITK, which takes damaged ones and says nothing true of missing ones."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

from med_stylesr.errors import InputError

_HEADER_BYTES: Final = 1 << 16
_PIECE: Final = 1 << 20
_GZIP_OR_ZLIB: Final = 47
"""Window bits by which zlib tells the two apart, as MetaIO does."""
_FIELD: Final = re.compile(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?\n", re.MULTILINE)


def check_voxels(path: Path, data: Path | None, size: int) -> None:
    """Compare the voxels in a MetaImage with what its header says and, if packed, with their check sum.

    Args:
        path: file with the header.
        data: file with the voxels, if it is not the same.
        size: bytes of the voxels, unpacked.

    Raises:
        InputError: if they are cut off or damaged.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    fields: dict[bytes, bytes] = {}
    voxels_from = 0
    for field in _FIELD.finditer(start):
        fields.setdefault(field.group(1).lower(), field.group(2).lower())
        if field.group(1).lower() == b"elementdatafile":
            voxels_from = field.end()
            break
    if not voxels_from or fields.get(b"headersize", b"0") != b"0":
        return
    with (data or path).open("rb") as file:
        file.seek(0 if data else voxels_from)
        if _is_true(fields, b"compresseddata"):
            _unpack(path, file, size)
        elif _is_true(fields, b"binarydata") and (data or path).stat().st_size - file.tell() < size:
            raise _cut_off(path)


def _is_true(fields: Mapping[bytes, bytes], name: bytes) -> bool:
    return fields.get(name, b"")[:1] in (b"t", b"1")


def _unpack(path: Path, file: BinaryIO, size: int) -> None:
    """Unpack to nowhere, a piece at a time, up to the check sum at the end."""
    unpacker, found = zlib.decompressobj(_GZIP_OR_ZLIB), 0
    try:
        while not unpacker.eof and found <= size:
            packed = unpacker.unconsumed_tail or file.read(_PIECE)
            piece = unpacker.decompress(packed, _PIECE)
            if not packed and not piece:
                raise _cut_off(path)
            found += len(piece)
    except zlib.error as error:
        raise InputError(str(path), f"is damaged ({error})", "copy or export it again") from error
    if found != size:
        why = "is damaged (its packed voxels are not as many as its header says)"
        raise InputError(str(path), why, "copy or export it again")


def _cut_off(path: Path) -> InputError:
    return InputError(str(path), "is cut off: its voxels are incomplete", "copy it again")
