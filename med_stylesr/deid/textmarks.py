"""Finds text burned into an image without reading it.

Two things tell letters from anatomy: many thin strokes of exactly one grey value, and rows that cross four or more
strong strokes within 32 pixels, several rows running. Anatomy has thin bright lines too (ribs, vessels, calcified
walls), but dispersed values and few of them in one row. Cheap enough for every slice of a CT.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Rows [top, bottom) and columns [left, right) of an image."""

_BLOCK: Final = 16
_REACHES: Final = (3, 7)
"""Half widths in pixels of the strokes looked for: small print and headlines."""
_WEAK: Final = 0.1
_STRONG: Final = 0.3
"""Least contrast of bright and of dark strokes, as a part of the image's range."""
_MIN_SAME_VALUE: Final = 18
"""Stroke pixels of exactly one value; thin anatomy spreads over hundreds of values."""
_MIN_BLOCK_PIXELS: Final = 4
_MIN_BLOCKS: Final = 2
_MIN_ROWS: Final = 4
_MIN_RUNS: Final = 4
"""Metal is clipped to one value too, but letters cross a row more often than metal does."""
_COMMON: Final = 0.02
"""A lowest value that more pixels than this have is air or padding and no ink."""
_CROSSING_REACHES: Final = (2, 3)
_CELL_ROWS: Final = 8
_MIN_CROSSINGS: Final = 4
_MIN_CROSSED_ROWS: Final = 6
"""Rows out of 16; slices of five scanners and all kernels stay below, print of 10 pixels and more lies above."""
_MIN_BLOCK_STARTS: Final = 8
_MIN_BUSY_BLOCKS: Final = 3
_MARGIN: Final = 8


def text_boxes(frame: NDArray[Any]) -> list[Box]:
    """Boxes around what looks like text, with a margin; none for an ordinary CT slice.

    Args:
        frame: grey values, shape (rows, columns), any integer type.
    """
    if min(frame.shape) < 2 * _BLOCK:
        return []
    image = _narrowest(frame)
    kind = image.dtype.type
    sample = image[::4, ::4]
    low, high = int(sample.min()), int(sample.max())
    weak = min(max((high - low) * _WEAK, 150 if frame.dtype.itemsize > 1 else 30), 30000)
    strong = min(max((high - low) * _STRONG, 600 if frame.dtype.itemsize > 1 else 90), 30000)
    boxes: list[Box] = []
    for reach in _REACHES:
        middle, before, after = image[:, reach:-reach], image[:, : -2 * reach], image[:, 2 * reach :]
        boxes += _boxes_of_one_value(middle - np.maximum(before, after) > kind(weak), image, reach)
        boxes += _boxes_of_one_value(np.minimum(before, after) - middle > kind(strong), image, reach)
    crossed = 600 if frame.dtype.itemsize > 1 else 60
    for reach in _CROSSING_REACHES:
        middle, before, after = image[:, reach:-reach], image[:, : -2 * reach], image[:, 2 * reach :]
        boxes += _crossed_boxes(np.asarray(middle - np.maximum(before, after) > kind(crossed)), reach)
    return _joined(boxes, image.shape)


def black_out(frame: NDArray[Any], boxes: list[Box], value: int) -> None:
    """Fill boxes of a writable frame with one value."""
    for top, bottom, left, right in boxes:
        frame[top:bottom, left:right] = value


def _narrowest(frame: NDArray[Any]) -> NDArray[Any]:
    """The frame in a signed type that differences fit into, 16 bits where possible because that is faster."""
    if frame.dtype.itemsize == 1:
        return frame.astype(np.int16)
    if frame.dtype.itemsize == 2 and int(frame.max()) - int(frame.min()) < 1 << 15 and int(frame.max()) < 1 << 15:
        return frame.astype(np.int16, copy=False)
    return frame.astype(np.int32)


def _boxes_of_one_value(strokes: NDArray[np.bool_], image: NDArray[Any], reach: int) -> list[Box]:
    places = np.flatnonzero(strokes)
    if places.size < _MIN_SAME_VALUE:
        return []
    rows, columns = np.divmod(places, strokes.shape[1])
    columns += reach
    grey = image[rows, columns].astype(np.int64)
    values, counts = np.unique(grey, return_counts=True)
    boxes: list[Box] = []
    for value in values[counts >= _MIN_SAME_VALUE]:
        same = grey == value
        found = _dense_boxes(rows[same], columns[same], _MIN_BLOCK_PIXELS)
        if found and not _is_clipping(image, int(value), rows[same]):
            boxes += found
    return boxes


def _is_clipping(image: NDArray[Any], value: int, rows: NDArray[Any]) -> bool:
    """Whether strokes of one value are where the scanner ran out of values: metal, air, padding."""
    here = image == value
    if value == int(image.min()):
        return bool(np.count_nonzero(here) > _COMMON * image.size)
    if value < int(image.max()):
        return False
    touched = here[np.unique(rows)]
    runs = np.count_nonzero(touched[:, 1:] & ~touched[:, :-1], axis=1)
    return bool(np.count_nonzero(runs >= _MIN_RUNS) < _MIN_ROWS)


def _dense_boxes(rows: NDArray[Any], columns: NDArray[Any], least: int) -> list[Box]:
    """Blocks with at least `least` stroke pixels that have such a neighbour in their row."""
    if rows.size < _MIN_BLOCKS * least:
        return []
    numbers, counts = np.unique((rows // _BLOCK) << 16 | columns // _BLOCK, return_counts=True)
    dense = set(numbers[counts >= least].tolist())
    touching = [n for n in dense if n - 1 in dense or n + 1 in dense]
    corners = [((n >> 16) * _BLOCK, (n & 0xFFFF) * _BLOCK) for n in touching]
    return [(top, top + _BLOCK, left, left + _BLOCK) for top, left in corners]


def _crossed_boxes(strokes: NDArray[np.bool_], reach: int) -> list[Box]:
    """Boxes where rows cross many strong strokes, widened along the line to the strokes beside them."""
    if np.count_nonzero(strokes) < _MIN_CROSSINGS * _MIN_CROSSED_ROWS:
        return []
    starts = np.array(strokes)
    starts[:, 1:] &= ~strokes[:, :-1]
    height, width = strokes.shape[0] // _CELL_ROWS * _CELL_ROWS, strokes.shape[1] // _BLOCK * _BLOCK
    in_block = starts[:height, :width].reshape(height, -1, _BLOCK).sum(axis=2)
    crossed = in_block[:, :-1] + in_block[:, 1:] >= _MIN_CROSSINGS
    rows = crossed.reshape(height // _CELL_ROWS, _CELL_ROWS, -1).sum(axis=1)
    lines = np.argwhere(rows[:-1] + rows[1:] >= _MIN_CROSSED_ROWS)
    boxes = []
    for cell, block in lines:
        top, bottom = int(cell) * _CELL_ROWS, (int(cell) + 2) * _CELL_ROWS
        inked = np.count_nonzero(strokes[top:bottom, :width].reshape(bottom - top, -1, _BLOCK), axis=(0, 2)) > 0
        first, last = int(block), int(block) + 1
        # A blank between words is narrower than a block and a half.
        while first > 0 and inked[max(first - 2, 0) : first].any():
            first -= 1
        while last + 1 < inked.size and inked[last + 1 : last + 3].any():
            last += 1
        # A bent wire fills one block or two, a word fills more.
        if np.count_nonzero(in_block[top:bottom, first : last + 1].sum(axis=0) >= _MIN_BLOCK_STARTS) < _MIN_BUSY_BLOCKS:
            continue
        boxes.append((top, bottom, first * _BLOCK + reach, (last + 1) * _BLOCK + reach))
    return boxes


def _joined(boxes: list[Box], shape: tuple[int, ...]) -> list[Box]:
    """Boxes with their margin; overlapping ones become one."""
    grown = [
        (max(t - _MARGIN, 0), min(b + _MARGIN, shape[0]), max(x - 2 * _MARGIN, 0), min(y + 2 * _MARGIN, shape[1]))
        for t, b, x, y in boxes
    ]
    joined: list[Box] = []
    for box in grown:
        current = box
        rest = []
        for other in joined:
            if current[0] < other[1] and other[0] < current[1] and current[2] < other[3] and other[2] < current[3]:
                current = (
                    min(current[0], other[0]), max(current[1], other[1]),
                    min(current[2], other[2]), max(current[3], other[3]),
                )  # fmt: skip
            else:
                rest.append(other)
        joined = [*rest, current]
    return joined
