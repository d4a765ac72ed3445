"""Telling files apart without trusting them, and reading DICOM within bounds."""

from __future__ import annotations

import os
import pathlib
import stat
import struct
import warnings
import zlib
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from med_stylesr.deid.elements import PIXEL_DATA
from med_stylesr.deid.volumes import volume_ending
from med_stylesr.errors import InputError

MAX_INFLATED: Final = 2 << 30
_START: Final = 4096
_PREAMBLE: Final = 128
_DICOM_NAMES: Final = (".dcm", ".dicom", ".ima")
_ELSEWHERE_NAMES: Final = (".mhd", ".nhdr", ".hdr")
"""Volume files that are headers only, their voxels in another file."""
_ARCHIVES: Final = ((0, b"PK\3\4"), (0, b"\x1f\x8b"), (0, b"7z\xbc\xaf\x27\x1c"), (0, b"Rar!"), (0, b"BZh"),
                    (0, b"\xfd7zXZ"), (257, b"ustar"))  # fmt: skip
_APPLE_DOUBLE: Final = b"\0\5\x16\7"
"""Start of what macOS puts as ._NAME beside files on foreign disks: no image, whatever its name ends in."""
_DIRECTORY: Final = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage."""
_LONGEST_FIRST: Final = 1024
_UNDEFINED: Final = 0xFFFFFFFF


def kind_of(path: pathlib.Path) -> str:
    """'dicom', 'dicomdir', 'volume', or why the file is no image.

    The file is opened without following a link and without waiting, so that a pipe cannot hang the run.

    Raises:
        InputError: for what may hold or lead to images that are not read, so that nobody takes them for cleaned.
        OSError: if it cannot be opened.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        raise InputError("link", "it is not followed, what it leads to was not read")
    if stat.S_ISDIR(mode):
        raise InputError("folder", "it cannot be listed, nothing in it was read")
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY"):
        # No system has all of them.
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "it is no regular file"
        start = os.read(handle, _START)
    finally:
        os.close(handle)
    if start.startswith(_APPLE_DOUBLE):
        return "it holds attributes of another file"
    if volume_ending(path.name):
        return "volume"
    if start[_PREAMBLE : _PREAMBLE + 4] == b"DICM" or _begins_a_data_set(start):
        # The records of a directory repeat identifiers and would name files that are gone.
        return "dicomdir" if _DIRECTORY in start or path.name.upper() == "DICOMDIR" else "dicom"
    lower = path.name.lower()
    if lower.endswith(_DICOM_NAMES):
        raise InputError("DICOM", "it is cut off or no DICOM file, whatever its name says")
    if lower.endswith(_ELSEWHERE_NAMES):
        raise InputError("volume", "keeps its voxels in another file")
    if any(start.startswith(magic, at) for at, magic in _ARCHIVES):
        raise InputError("archive", "is not opened; unpack it first")
    return "it is neither DICOM nor a volume file with its header inside"


def read_dicom(path: pathlib.Path, *, header_only: bool) -> Dataset:
    """Read a DICOM file, with or without preamble and file meta information, within bounds.

    Raises:
        InputError: if it cannot be read, or inflates beyond reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                start = pydicom.filereader.read_partial(file, stop_when=lambda tag, vr, length: True, force=True)
                if start.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                    _check_inflated(path, start)
            dataset = pydicom.dcmread(path, stop_before_pixels=header_only, force=True)
            _name_encoding(dataset)
            return dataset
    except InputError:
        raise
    except RecursionError as error:
        raise InputError("DICOM", "sequences are nested without end") from error
    except Exception as error:
        raise InputError("DICOM", f"cannot be read ({type(error).__name__})") from error


def _begins_a_data_set(start: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 0002 or 0008, as older archives wrote them."""
    if len(start) < 8:
        return False
    for order in "<>":
        if struct.unpack_from(order + "H", start)[0] in (0x0002, 0x0008):
            coded = start[4:6].decode("latin-1") in VR.__members__
            # Without VR the length follows at once; big endian always has VRs.
            return coded or (order == "<" and struct.unpack_from("<I", start, 4)[0] <= _LONGEST_FIRST)
    return False


def _name_encoding(dataset: Dataset) -> None:
    """Name the transfer syntax of a file that does not tell it, by how its elements turned out to be encoded."""
    if dataset.file_meta.get("TransferSyntaxUID"):
        return
    pixels = dataset.get_item(PIXEL_DATA)
    if pixels is not None and getattr(pixels, "length", 0) == _UNDEFINED:
        raise InputError("DICOM", "does not tell how its pixels are compressed")
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _check_inflated(path: pathlib.Path, start: Dataset) -> None:
    begin = 0 if start.preamble is None else _PREAMBLE + 4
    length = begin + 12 + int(start.file_meta.get("FileMetaInformationGroupLength", 0) or 0)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(path.read_bytes()[length:], MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise InputError("DICOM", "its deflated data set is larger than can be read")
