"""A file that gives up on whoever reads it in too many steps: parsers that a header leads on and on."""

from __future__ import annotations

from typing import BinaryIO, Final, cast

MAX_READS: Final = 600_000
"""Reads before the pixel data; a single-frame header needs about 1000, one of 4000 frames 500 000."""
MAX_READ_BYTES: Final = 1 << 28
"""Bytes read before the pixel data."""


class TooMuchHeaderError(Exception):
    """The header goes on beyond all bounds."""


class ReadToTheEndError(Exception):
    """Somebody wants the rest of the file at once, however much that is."""


class BoundedReader:
    """Passes everything on to a file and counts.

    Args:
        file: opened for reading in binary.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._reads, self._bytes = file, 0, 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read up to so many bytes.

        Raises:
            ReadToTheEndError: if no number is given.
            TooMuchHeaderError: if there were too many reads or bytes.
        """
        if size < 0:
            raise ReadToTheEndError
        self._reads += 1
        data = self._file.read(min(size, MAX_READ_BYTES))
        self._bytes += len(data)
        if self._reads > MAX_READS or self._bytes > MAX_READ_BYTES:
            raise TooMuchHeaderError
        return data


def bounded(file: BinaryIO) -> BinaryIO:
    """The file, bounded."""
    return cast(BinaryIO, BoundedReader(file))
