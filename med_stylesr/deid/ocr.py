"""Finds text with tesseract where it is installed; nothing else is asked of it."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_MIN_CONFIDENCE: Final = 20
_MARGIN: Final = 6
_SECONDS: Final = 60


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether the program `tesseract` can be started."""
    return shutil.which("tesseract") is not None


def text_boxes(grey: NDArray[Any]) -> list[tuple[int, int, int, int]]:
    """Boxes (top, bottom, left, right) around words that tesseract sees, with a margin.

    Args:
        grey: image, shape (rows, columns), any integer type; scaled to 8 bits for tesseract, on dark and light ground.
    """
    low, high = int(grey.min()), int(grey.max())
    scaled = ((grey.astype(np.float32) - low) * (255.0 / max(high - low, 1))).astype(np.uint8)
    boxes = []
    for image in (scaled, 255 - scaled):
        header = f"P5 {image.shape[1]} {image.shape[0]} 255\n".encode("ascii")
        # Page segmentation mode 11: sparse text in no particular order.
        answer = subprocess.run(
            ["tesseract", "stdin", "stdout", "--psm", "11", "tsv"],
            input=header + image.tobytes(),
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        ).stdout.decode("utf-8", "replace")
        boxes += [box for line in answer.splitlines()[1:] if (box := _word_box(line)) is not None]
    return boxes


def _word_box(line: str) -> tuple[int, int, int, int] | None:
    cells = line.split("\t")
    if len(cells) < 12 or float(cells[10]) < _MIN_CONFIDENCE or len(cells[11].strip()) < 2:
        return None
    left, top, width, height = (int(c) for c in cells[6:10])
    return max(top - _MARGIN, 0), top + height + _MARGIN, max(left - _MARGIN, 0), left + width + _MARGIN
