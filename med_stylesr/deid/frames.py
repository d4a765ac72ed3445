"""Frames of an object's pixel data as arrays, native or decoded, and the bytes they are written as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames, parse_basic_offsets
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, RLELossless

from med_stylesr.deid.codestreams import strip_codestream, strip_rle
from med_stylesr.deid.elements import PIXEL_DATA, raw_value
from med_stylesr.errors import InputError

_MAX_PIXEL_BYTES: Final = 8 << 30
_TELL_THEIR_PRECISION: Final = frozenset({*JPEG2000TransferSyntaxes, *JPEGLSTransferSyntaxes})
"""Their decoders go by the codestream and not by the header."""


@dataclass
class Frames:
    """Pixel data of one object.

    Attributes:
        native: the bytes as stored, cut to the length the header gives; None for compressed data.
        number: frames.
        shape: (rows, columns) or (rows, columns, samples).
        dtype: of a sample.
        bits_stored: bits of a sample that carry its value.
        planar: whether samples of a colour image lie in planes.
        syntax: transfer syntax.
    """

    native: bytes | None
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bits_stored: int
    planar: bool
    dataset: Dataset
    syntax: UID
    _buffer: NDArray[Any] | None = None

    @classmethod
    def of(cls, dataset: Dataset, syntax: UID) -> Frames:
        """Read the geometry and check that the pixel data have it.

        Raises:
            InputError: if the header is not complete or the data are shorter than it says.
        """
        try:
            rows, columns, allocated, stored, samples = (
                int(dataset[name].value)
                for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel")
            )
            number = int(dataset.get("NumberOfFrames", 1) or 1)
            signed, planar = bool(dataset.get("PixelRepresentation", 0)), bool(dataset.get("PlanarConfiguration", 0))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("pixel data", "the header does not describe the pixels") from error
        if allocated not in (1, 8, 16, 32) or not 0 < stored <= allocated or min(rows, columns, samples, number) < 1:
            raise InputError("pixel data", f"{allocated} bits allocated and {stored} stored cannot be read")
        length = (rows * columns * samples * number * allocated + 7) // 8
        if length > _MAX_PIXEL_BYTES:
            raise InputError("pixel data", "the header promises more pixels than can be read")
        kind = f"{'<' if syntax.is_little_endian else '>'}{'i' if signed else 'u'}{max(allocated // 8, 1)}"
        native = None
        if not syntax.is_encapsulated:
            native = raw_value(dataset.get_item(PIXEL_DATA), syntax.is_little_endian, ("ascii",))
            if len(native) < length:
                raise InputError("pixel data", "are shorter than the header says")
            native = native[:length]
        shape = (rows, columns) if samples == 1 else (rows, columns, samples)
        return cls(native, number, shape, np.dtype(kind), 1 if allocated == 1 else stored, planar, dataset, syntax)

    def read(self, index: int) -> NDArray[Any]:
        """One frame, shape (rows, columns[, samples]); not to be written to."""
        frame: NDArray[Any] = self._view(self._samples()[index])
        return frame

    def writable(self, index: int) -> NDArray[Any]:
        """One frame that `encoded` will write as it is left."""
        if self._buffer is None or not self._buffer.flags.writeable:
            self._buffer = self._samples().copy()
        frame: NDArray[Any] = self._view(self._buffer[index])
        return frame

    @property
    def darkest(self) -> int:
        """The lowest value that the pixels have: what black or air is in this object."""
        return int(self._samples().min())

    def clear_unused_bits(self, overlay: bool) -> bool:
        """Clear bits above the stored ones, where old overlays were kept.

        Args:
            overlay: the header says that there is one.

        Returns:
            Whether anything was cleared.

        Raises:
            InputError: if unused bits hold something that the header does not explain, or cannot be seen.
        """
        if self.unused_bits_are_empty():
            return False
        if not overlay:
            raise InputError("pixel data", "unused bits of the pixels are not empty, and no overlay explains them")
        self._buffer = self._meant(self._samples())
        return True

    def unused_bits_are_empty(self) -> bool:
        """Whether bits above the stored ones only repeat the sign.

        Raises:
            InputError: if compressed pixels cannot be decoded.
        """
        if self._unused_bits <= 0 or self.bits_stored == 1:
            return True
        samples = self._samples()
        return np.array_equal(self._meant(samples), samples)

    def encoded(self, changed: bool) -> bytes:
        """The pixels as native bytes, padded to even length."""
        if not changed and self.native is not None:
            data = self.native
        else:
            samples = self._samples()
            native_order = self.native is not None or samples.dtype.byteorder in "<=|"
            data = (samples if native_order else samples.astype(samples.dtype.newbyteorder("<"))).tobytes()
        return data + b"\0" * (len(data) % 2)

    def _samples(self) -> NDArray[Any]:
        if self._buffer is None:
            if self.bits_stored == 1:
                raise InputError("pixel data", "single-bit pixels cannot be searched for text")
            self._buffer = self._decoded() if self.native is None else self._stored()
        return self._buffer

    @property
    def _unused_bits(self) -> int:
        return self.dtype.itemsize * 8 - self.bits_stored

    def _meant(self, samples: NDArray[Any]) -> NDArray[Any]:
        """What the stored bits of samples say."""
        return samples << self._unused_bits >> self._unused_bits

    def _stored(self) -> NDArray[Any]:
        assert self.native is not None
        flat = np.frombuffer(self.native, dtype=self.dtype)
        if self.planar and len(self.shape) == 3:
            return flat.reshape(self.number, self.shape[2], *self.shape[:2])
        return flat.reshape(self.number, *self.shape)

    def _decoded(self) -> NDArray[Any]:
        """All bits of compressed samples: decoders that go by the header's stored bits would clear the others."""
        from pydicom.pixels.utils import pixel_array

        if len(self.shape) == 3:
            raise InputError("pixel data", "compressed colour images cannot be checked for text")
        every_bit: dict[str, Any] = (
            {} if self.syntax in _TELL_THEIR_PRECISION else {"bits_stored": self.dtype.itemsize * 8}
        )
        try:
            samples = pixel_array(self.dataset, raw=True, **every_bit).reshape(self.number, *self.shape)
        except MemoryError:
            raise
        except Exception as error:
            raise InputError("pixel data", "cannot be decompressed, so they cannot be checked for text") from error
        if self._unused_bits and samples.min() >= 0 and int(samples.max()) >> self.bits_stored == 0:
            # Codestreams without signs leave it to the reader to extend them.
            return self._meant(samples)
        return samples

    def _view(self, frame: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(frame, 0, -1) if self.planar and frame.ndim == 3 else frame


def encapsulated_frames(value: bytes) -> list[bytes]:
    """Compressed frames of encapsulated pixel data; fragments of one frame are joined.

    Raises:
        InputError: if the fragments cannot be followed.
    """
    try:
        parse_basic_offsets(value)
        return [b"".join(fragments) if isinstance(fragments, tuple) else fragments for fragments in _frames(value)]
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise InputError("pixel data", "the compressed frames cannot be told apart") from error


def _frames(value: bytes) -> list[bytes]:
    from pydicom.encaps import generate_fragments

    number = sum(1 for _ in generate_fragments(value))
    return list(generate_frames(value, number_of_frames=number))


def reencapsulated(value: bytes, fragments: list[bytes], frames: Frames, syntax: UID) -> bytes:
    """Encapsulated frames without anything that is not image; the original bytes where nothing had to go.

    Args:
        value: encapsulated pixel data as read.
        fragments: its frames.
        frames: geometry.
        syntax: tells RLE from the others.

    Raises:
        InputError: if a frame cannot be followed marker by marker.
    """
    if syntax == RLELossless:
        planes = frames.shape[0] * frames.shape[1]
        stripped = [strip_rle(frame, planes) for frame in fragments]
    else:
        stripped = [strip_codestream(frame) for frame in fragments]
    padded = [frame + b"\0" * (len(frame) % 2) for frame in stripped]
    again = encapsulate(padded, has_bot=True)
    plain = encapsulate(padded, has_bot=False)
    if value in (again, plain):
        return value
    return plain if frames.number == 1 else again
