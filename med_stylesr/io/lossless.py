"""One frame encoded without loss, whatever its size and contents: where a codec's library gives up, another way."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless

from med_stylesr.io.quiet import silenced

_J2K_LEAST_SIDE: Final = 32
"""Rows and columns that OpenJPEG's five wavelet levels need; pylibjpeg-openjpeg does not let one ask for fewer."""
_JPEG_LS_HEADER_BYTES: Final = 1 << 10


def encoded_frame(stored: NDArray[np.int16], transfer_syntax: UID) -> bytes:
    """A frame as the codestream of a lossless transfer syntax with encapsulated pixel data.

    Args:
        stored: (rows, columns) signed 16-bit.
        transfer_syntax: RLE, JPEG-LS or JPEG 2000 lossless.

    Raises:
        RuntimeError: if it cannot be encoded.
    """
    if transfer_syntax == JPEG2000Lossless and min(stored.shape) < _J2K_LEAST_SIDE:
        return _small_jpeg_2000(stored)
    rows, columns = stored.shape
    source = stored.astype("<i2", copy=False).tobytes()
    try:
        with silenced():
            return get_encoder(transfer_syntax).encode(
                source,
                index=0,
                rows=rows,
                columns=columns,
                number_of_frames=1,
                samples_per_pixel=1,
                photometric_interpretation="MONOCHROME2",
                bits_allocated=16,
                bits_stored=16,
                pixel_representation=1,
            )
    except RuntimeError:
        if transfer_syntax != JPEGLSLossless:
            raise
    return _incompressible_jpeg_ls(source, rows, columns)


def _small_jpeg_2000(stored: NDArray[np.int16]) -> bytes:
    """A codestream without wavelet levels, which no image is too small for."""
    from PIL import Image

    rows, columns = stored.shape
    image = Image.frombytes("I;16", (columns, rows), stored.astype("<i2", copy=False).tobytes())
    codestream = io.BytesIO()
    image.save(codestream, "JPEG2000", no_jp2=True, irreversible=False, num_resolutions=1, signed=True)
    return codestream.getvalue()


def _incompressible_jpeg_ls(source: bytes, rows: int, columns: int) -> bytes:
    """A codestream that is longer than twice the pixels, as that of a handful of them is.

    pyjpegls gives its library room for twice of what it is handed, so it is handed more than the pixels. No sample
    takes more than four times its bits (LIMIT, ISO/IEC 14495-1 C.2.4.1.1).
    """
    from jpeg_ls.CharLS import _CharLS

    return bytes(_CharLS._encode(source + bytes(len(source) + _JPEG_LS_HEADER_BYTES), 0, 0, rows, columns, 1, 16))
