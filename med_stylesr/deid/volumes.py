"""NIfTI, NRRD and MetaImage files: headers written anew from their geometry, voxels copied bit for bit.

Text fields, extensions, key-value pairs and comments are left out whatever they say; a file name is replaced by the
caller. Only formats whose header this module can write whole are accepted.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from med_stylesr.deid.nifti_header import clean_nifti_header
from med_stylesr.errors import InputError

ENDINGS: Final = (".nii.gz", ".nii", ".nrrd", ".mha")
_MAX_INFLATED: Final = 8 << 30

_NRRD_KEPT: Final = {
    # Field -> pattern its value must match.
    "type": r"[a-z0-9_ ]{3,24}",
    "dimension": r"[1-5]",
    "space": r"(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[LR][AP][SI]T?|scanner-xyz",
    "space dimension": r"[1-5]",
    "sizes": r"\d{1,6}( \d{1,6}){0,4}",
    "space directions": r"((none|\([-+0-9.eE, ]{1,120}\)) ?){1,5}",
    "space origin": r"\([-+0-9.eE, ]{1,120}\)",
    "spacings": r"(([-+0-9.eE]{1,30}|nan|NaN) ?){1,5}",
    "kinds": r"((domain|space|time|list|vector|scalar|none|\?\?\?) ?){1,5}",
    "endian": r"little|big",
    "encoding": r"raw|gzip|gz",
}
_MHA_KEPT: Final = {
    "ObjectType": r"Image",
    "NDims": r"[2-4]",
    "BinaryData": r"True|False",
    "BinaryDataByteOrderMSB": r"True|False",
    "CompressedData": r"True|False",
    "TransformMatrix": r"[-+0-9.eE ]{1,600}",
    "Offset": r"[-+0-9.eE ]{1,200}",
    "CenterOfRotation": r"[-+0-9.eE ]{1,200}",
    "AnatomicalOrientation": r"[RLAPSI?]{2,4}",
    "ElementSpacing": r"[-+0-9.eE ]{1,200}",
    "DimSize": r"\d{1,6}( \d{1,6}){1,3}",
    "ElementNumberOfChannels": r"[1-9]",
    "ElementType": r"MET_[A-Z_]{3,20}",
}
_MHA_BYTES: Final = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_FLOAT": 4,
    "MET_DOUBLE": 8, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8,
}  # fmt: skip
_NRRD_BYTES: Final = {
    "signed char": 1, "int8": 1, "int8_t": 1, "uchar": 1, "unsigned char": 1, "uint8": 1, "uint8_t": 1, "short": 2,
    "signed short": 2, "short int": 2, "int16": 2, "int16_t": 2, "ushort": 2, "unsigned short": 2, "uint16": 2,
    "uint16_t": 2, "int": 4, "signed int": 4, "int32": 4, "int32_t": 4, "uint": 4, "unsigned int": 4, "uint32": 4,
    "uint32_t": 4, "float": 4, "double": 8,
}  # fmt: skip


def volume_ending(name: str) -> str | None:
    """The ending of a volume file's name, or None for another file."""
    lower = name.lower()
    return next((ending for ending in ENDINGS if lower.endswith(ending)), None)


def clean_volume_header(data: bytes, ending: str) -> bytes:
    """The whole file with a header that holds geometry and type only.

    Args:
        data: content of the file.
        ending: one of `ENDINGS`.

    Raises:
        InputError: if the file is not of that format or keeps its voxels elsewhere.
    """
    cleaners: dict[str, Callable[[bytes], bytes]] = {
        ".nii": _nifti,
        ".nii.gz": lambda packed: gzip.compress(_nifti(_gunzip(packed)), 6, mtime=0),
        ".nrrd": _nrrd,
        ".mha": _mha,
    }
    try:
        return cleaners[ending](data)
    except zlib.error as error:
        raise InputError("volume", "its compressed data are damaged") from error
    except (struct.error, ValueError) as error:
        raise InputError("volume", f"is no readable {ending[1:]} file") from error


def _gunzip(data: bytes) -> bytes:
    inflater = zlib.decompressobj(31)
    inflated = inflater.decompress(data, _MAX_INFLATED)
    if inflater.unconsumed_tail or not inflater.eof:
        raise InputError("volume", "its compressed data are cut off or too large")
    return inflated


def _inflate(data: bytes, length: int) -> bytes:
    """The first `length` bytes of a zlib stream, whose check sum is compared if it holds no more."""
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(data, length + 1)
    # The check sum is the last of the stream: without it, nobody knows that the voxels are sound.
    return inflated[:length] if inflater.eof or len(inflated) > length else b""


def _nifti(data: bytes) -> bytes:
    """NIfTI-1: text fields emptied, extensions left out, cut behind the last voxel (nifti1.h)."""
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"
    if struct.unpack_from(order + "i", data) != (348,) or data[344:348] != b"n+1\0":
        raise InputError("volume", "is no NIfTI-1 file with its voxels inside; NIfTI-2 and pairs are not read")
    header = bytearray(data[:348])
    dim = struct.unpack_from(order + "8h", header, 40)
    (bits,) = struct.unpack_from(order + "h", header, 72)
    (offset_float,) = struct.unpack_from(order + "f", header, 108)
    if not 1 <= dim[0] <= 7 or bits not in (8, 16, 32, 64, 24, 96, 128):
        raise InputError("volume", "its NIfTI header is not valid")
    voxels = 1
    for size in dim[1 : dim[0] + 1]:
        voxels *= max(size, 1)
    start, length = int(offset_float), voxels * bits // 8
    if start < 352 or len(data) < start + length:
        raise InputError("volume", "its voxels are cut off")
    struct.pack_into(order + "f", header, 108, 352.0)
    clean_nifti_header(header, order)
    return bytes(header) + bytes(4) + data[start : start + length]


def _nrrd(data: bytes) -> bytes:
    end = data.find(b"\n\n")
    end = end if end >= 0 else data.find(b"\r\n\r\n")
    if not data.startswith(b"NRRD000") or end < 0:
        raise InputError("volume", "is no NRRD file with its voxels inside")
    fields = {}
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        if line.startswith("#") or ":=" in line or ": " not in line:
            continue
        key, value = line.split(": ", 1)
        if key in ("data file", "datafile"):
            raise InputError("volume", "keeps its voxels in another file")
        if key in _NRRD_KEPT and re.fullmatch(_NRRD_KEPT[key], value.strip()):
            fields[key] = value.strip()
    if not {"type", "dimension", "sizes", "encoding"} <= set(fields) or fields["type"] not in _NRRD_BYTES:
        raise InputError("volume", "its NRRD header is not complete or in a form that is not read")
    body = data[end:].lstrip(b"\r\n") if data[end : end + 2] != b"\n\n" else data[end + 2 :]
    length = _NRRD_BYTES[fields["type"]]
    for size in fields["sizes"].split():
        length *= int(size)
    packed = fields["encoding"] != "raw"
    voxels = _gunzip(body) if packed else body
    if len(voxels) < length:
        raise InputError("volume", "its voxels are cut off")
    voxels = gzip.compress(voxels[:length], 6, mtime=0) if packed else voxels[:length]
    header = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return b"NRRD0004\n" + header.encode("ascii") + b"\n" + voxels


def _mha(data: bytes) -> bytes:
    fields: dict[str, str] = {}
    at = 0
    while True:
        end = data.find(b"\n", at, at + 4096)
        if end < 0:
            raise InputError("volume", "is no MetaImage file with its voxels inside")
        key, _, value = (part.strip() for part in data[at:end].decode("latin-1").partition("="))
        at = end + 1
        if key == "ElementDataFile":
            if value != "LOCAL":
                raise InputError("volume", "keeps its voxels in another file")
            break
        if key in _MHA_KEPT and re.fullmatch(_MHA_KEPT[key], value):
            fields[key] = value
    if not {"NDims", "DimSize", "ElementType"} <= set(fields) or fields["ElementType"] not in _MHA_BYTES:
        raise InputError("volume", "its MetaImage header is not complete or in a form that is not read")
    length = _MHA_BYTES[fields["ElementType"]] * int(fields.get("ElementNumberOfChannels", "1"))
    for size in fields["DimSize"].split():
        length *= int(size)
    packed = fields.get("CompressedData") == "True"
    voxels = _inflate(data[at:], length) if packed else data[at : at + length]
    if len(voxels) != length:
        raise InputError("volume", "its voxels are cut off")
    body = zlib.compress(voxels, 6) if packed else voxels
    if packed:
        fields["CompressedDataSize"] = str(len(body))
    lines = [f"{key} = {value}\n" for key, value in fields.items()]
    return "".join([*lines, "ElementDataFile = LOCAL\n"]).encode("ascii") + body
