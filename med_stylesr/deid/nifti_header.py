"""NIfTI-1 headers (nifti1.h): text and what nothing uses are emptied, and what stays must be numbers of a scan."""

from __future__ import annotations

import re
import struct
from typing import Final

from med_stylesr.deid.bytesearch import printable_runs
from med_stylesr.errors import InputError

_TEXT: Final = ((4, 14), (14, 32), (148, 228), (228, 252), (328, 344))
"""data_type, db_name, descrip, aux_file, intent_name: where each begins and ends."""
_UNUSED: Final = ((32, 40), (140, 148))
"""extents, session_error, regular, dim_info; glmax, glmin: NIfTI-1 leaves them unused, but for hints on MR scans."""
_USED_IF_CODED: Final = ((68, 56, 68), (252, 256, 280), (254, 280, 328))
"""intent_code, qform_code, sform_code, and where the numbers begin and end that mean something only with them."""
_DIM, _PIXDIM, _AXES = 40, 76, 7
_STEPS: Final = (*range(80, 108, 4), *range(256, 268, 4), *(row + at for row in (280, 296, 312) for at in (0, 4, 8)))
"""pixdim, quatern_b to d, srow_x to z without their last: sizes of voxels and directions."""
_PLACES: Final = {268: 292, 272: 308, 276: 324}
"""Where the first voxel lies: the number of the qform, and that of the sform, which is mostly the same."""
_OTHERS: Final = (56, 60, 64, 108, 112, 116, 124, 128, 132, 136)
"""intent_p1 to 3, vox_offset, scl_slope, scl_inter, cal_max, cal_min, slice_duration, toffset."""
_LENGTHS: Final = (*_STEPS, *_PLACES, *_PLACES.values())
_NUMBERS: Final = (*_LENGTHS, *_OTHERS)
_SMALLEST, _LARGE, _FARTHEST, _LARGEST = 2.0**-11, 8.0, 4096.0, 1e5
"""The first byte of a number, sign and exponent, is no digit from `_SMALLEST` on, and no letter below `_LARGE`."""
_DECIMALS: Final = 6
"""Of a length below `_SMALLEST`: what is left out moves no voxel of a scan by a thousandth of a millimetre."""
_FOUR: Final = re.compile(rb"[\x20-\x7e]{4}")


def clean_nifti_header(header: bytearray, order: str) -> None:
    """Empty what says nothing of the voxels, in place.

    Args:
        header: 348 bytes with `vox_offset` as it is to be written.
        order: '<' or '>', as in `struct`.

    Raises:
        InputError: if its numbers are text.
    """
    for begin, end in (*_TEXT, *_UNUSED):
        header[begin:end] = bytes(end - begin)
    for code_at, begin, end in _USED_IF_CODED:
        if struct.unpack_from(order + "h", header, code_at)[0] <= 0:
            header[begin:end] = bytes(end - begin)
    for axis in range(struct.unpack_from(order + "h", header, _DIM)[0] + 1, _AXES + 1):
        struct.pack_into(order + "h", header, _DIM + 2 * axis, 1)
        struct.pack_into(order + "f", header, _PIXDIM + 4 * axis, 1.0)
    (handedness,) = struct.unpack_from(order + "f", header, _PIXDIM)
    struct.pack_into(order + "f", header, _PIXDIM, -1.0 if handedness < 0 else 1.0)
    if _spells_text(header, order):
        _round_small_lengths(header, order)
        if _spells_text(header, order):
            raise InputError("volume", "numbers of its NIfTI header spell text")


def _spells_text(header: bytearray, order: str) -> bool:
    """Whether there is text besides ordinary numbers, whose bytes can be printable too: 0.7 is "333?"."""
    rest, strange = bytearray(header[:344]), bytearray(header[:344])
    for at in _NUMBERS:
        (value,) = struct.unpack_from(order + "f", header, at)
        if _is_number(value, at) or _is_told_twice(header, order, at):
            rest[at : at + 4] = strange[at : at + 4] = bytes(4)
        elif at not in _STEPS and abs(value) <= _FARTHEST and (at in _OTHERS or abs(value) >= _SMALLEST):
            # Alone such a number is none of a text, but several may be.
            strange[at : at + 4] = bytes(4)
    return bool(printable_runs(bytes(rest)) or _FOUR.search(strange))


def _is_number(value: float, at: int) -> bool:
    """Whether four bytes are no text, by the size of the number that they make or by its few digits."""
    size = abs(value)
    if size < _SMALLEST:
        return size == 0 or (at in _LENGTHS and value == _as_float(round(value, _DECIMALS)))
    if at in _STEPS and size < _LARGE:
        return True
    # Of four bytes of text that make a number of such a size, one in ten at most has six digits.
    return size <= _LARGEST and value == _as_float(float(f"{value:.6g}"))


def _is_told_twice(header: bytearray, order: str, at: int) -> bool:
    """Whether qform and sform tell the same place, which text in one of them would not."""
    pair = next((pair for pair in _PLACES.items() if at in pair), None)
    if pair is None:
        return False
    one, other = (float(struct.unpack_from(order + "f", header, place)[0]) for place in pair)
    return _SMALLEST <= abs(one) <= _FARTHEST and abs(one - other) <= 1e-5 * max(abs(one), 1)


def _round_small_lengths(header: bytearray, order: str) -> None:
    for at in _LENGTHS:
        (value,) = struct.unpack_from(order + "f", header, at)
        if abs(value) < _SMALLEST:
            struct.pack_into(order + "f", header, at, round(value, _DECIMALS))


def _as_float(value: float) -> float:
    """The number of 32 bits nearest to a value."""
    (nearest,) = struct.unpack("<f", struct.pack("<f", value))
    return float(nearest)
