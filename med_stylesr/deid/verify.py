"""Reads back what was written and searches it for every harvested identifier, decompressed too."""

from __future__ import annotations

import gzip
import io
import os
import pathlib
import zlib
from typing import Final

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from med_stylesr.deid.bytesearch import ByteSearch
from med_stylesr.deid.elements import PIXEL_DATA, Leaf, leaves
from med_stylesr.deid.frames import Frames
from med_stylesr.deid.harvest import Harvest
from med_stylesr.deid.profile import Profile
from med_stylesr.deid.table import DATE_OPTIONS, text_patterns
from med_stylesr.errors import InputError

_MAX_INFLATED: Final = 4 << 30
_FREE_TEXT: Final = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE"})
_DICTIONARY_TEXT: Final = frozenset({0x00080100, 0x00080102, 0x00080104, 0x00120063})


def search_for(harvested: Harvest, profile: Profile) -> ByteSearch:
    """A search for what a profile must not leave: shifted dates may meet another original one by chance."""
    return ByteSearch(
        harvested,
        uids="retain_uids" not in profile.options,
        dates=not profile.options.intersection(DATE_OPTIONS),
    )


def verify_file(path: pathlib.Path, search: ByteSearch) -> list[str]:
    """What of the harvest is found in one written file: where, never what.

    Args:
        path: DICOM or volume file.
        search: see `search_for`.
    """
    leaks = ["its name"] if search.name_leaks(path.name) else []
    data = path.read_bytes()
    if data[128:132] == b"DICM":
        return leaks + _dicom_leaks(data, search)
    if data[:2] == b"\x1f\x8b":
        data = _inflated(data, 31)
    header, pixels = data[:4096], data[4096:]
    if search.header_leaks(header):
        leaks.append("its header")
    if search.pixel_leaks(pixels):
        leaks.append("its data")
    return leaks


def verify_tree(dest: pathlib.Path, harvested: Harvest, profile: Profile) -> list[tuple[str, str]]:
    """Search every file and folder name below `dest` for everything that was harvested.

    Returns:
        (path below `dest`, where in it) of every leak; empty when there is none.
    """
    search = search_for(harvested, profile)
    found = []
    for folder, folders, files in os.walk(dest):
        for name in folders:
            if search.name_leaks(name):
                found.append((os.path.relpath(os.path.join(folder, name), dest), "its name"))
        for name in files:
            path = pathlib.Path(folder, name)
            found += [(str(path.relative_to(dest)), where) for where in verify_file(path, search)]
    return found


def _dicom_leaks(data: bytes, search: ByteSearch) -> list[str]:
    leaks = []
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax == DeflatedExplicitVRLittleEndian:
            data = data[:132] + _inflated(data[132 + _meta_length(dataset) :], -zlib.MAX_WBITS)
        header, pixels = data, b""
        element = dataset.get_item(PIXEL_DATA)
        if isinstance(element, RawDataElement):
            pixels = element.value or b""
            at = element.value_tell if data.startswith(pixels, element.value_tell) else data.find(pixels)
            header = data[:at] + data[at + len(pixels) :]
        if search.header_leaks(header):
            leaks.append("its header")
        if search.pixel_leaks(pixels):
            leaks.append("its pixel data")
        leaks += [f"({leaf.tag >> 16:04X},{leaf.tag & 0xFFFF:04X})" for leaf in leaves(dataset) if _leaks(leaf, search)]
        if pixels and syntax.is_encapsulated:
            leaks += _decompressed_leaks(dataset, search)
    except Exception as error:
        # Whatever cannot be read back cannot be shown to be clean.
        leaks.append(f"it cannot be read back ({type(error).__name__})")
    return leaks


def _leaks(leaf: Leaf, search: ByteSearch) -> bool:
    """Whether free text holds an identifier; wording that comes from dictionaries and lists is no free text."""
    if leaf.vr not in _FREE_TEXT or leaf.tag in _DICTIONARY_TEXT or leaf.tag in text_patterns():
        return False
    return any(map(search.value_leaks, leaf.strings()))


def _decompressed_leaks(dataset: Dataset, search: ByteSearch) -> list[str]:
    try:
        frames = Frames.of(dataset, dataset.file_meta.TransferSyntaxUID)
        pixels, empty = frames.encoded(False), frames.unused_bits_are_empty()
    except InputError:
        return ["its pixel data cannot be decompressed"]
    leaks = ["its decompressed pixel data"] if search.pixel_leaks(pixels) else []
    return leaks if empty else [*leaks, "unused bits of its pixel data"]


def _meta_length(dataset: Dataset) -> int:
    length = dataset.file_meta.get("FileMetaInformationGroupLength")
    return 12 + int(length or 0)


def _inflated(data: bytes, window_bits: int) -> bytes:
    if window_bits == 31:
        with gzip.open(io.BytesIO(data)) as file:
            return file.read(_MAX_INFLATED)
    return zlib.decompressobj(window_bits).decompress(data, _MAX_INFLATED)
