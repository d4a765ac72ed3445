"""Packed NIfTI files read to their end: only there does gzip tell whether what was unpacked is what was packed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, Final

from nibabel.arrayproxy import ArrayProxy

_PIECE: Final = 1 << 20


def is_packed(path: Path) -> bool:
    """Whether the name says that the file is packed."""
    return path.name.lower().endswith(".gz")


def unpacked(path: Path, voxels: ArrayProxy) -> tuple[BinaryIO, ArrayProxy]:
    """The same voxels as read from a stream, which is for the caller to `drain` and to close."""
    stream: BinaryIO = gzip.open(path)  # type: ignore[assignment]  # noqa: SIM115
    described = voxels.shape, voxels.dtype, voxels.offset, voxels.slope, voxels.inter
    return stream, ArrayProxy(stream, described, mmap=False)


def drain(stream: BinaryIO) -> None:
    """Read what is left, so that the check sum at the end is compared.

    Raises:
        OSError, EOFError, zlib.error: if it differs or is missing.
    """
    while stream.read(_PIECE):
        pass
