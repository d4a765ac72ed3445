"""How large a patient is to X-rays: the water-equivalent diameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.metrics.regions import body_mask

NEAREST_FILLING: Final = 0.45
"""Radius of the circle of reconstruction in widths of the image, at least; half a width is the rule."""


@dataclass(frozen=True)
class BodySize:
    """Size of the body in some slices.

    Attributes:
        wed_mm: water-equivalent diameter, mean over the slices that hold a body.
        truncated: share of the body's outline that lies at the edge of the field of view, 0 … 1. The diameter of a
            truncated body comes out too small.
    """

    wed_mm: float
    truncated: float


def body_size(hu: NDArray[Any], spacing_mm: tuple[float, float]) -> BodySize | None:
    """Measure the body: D = 2 sqrt((mean HU / 1000 + 1) · A / π) over its area A in every slice; None without a body.

    Args:
        hu: HU, shape (slices, rows, columns).
        spacing_mm: pixel spacing (row, column).

    Source:
        AAPM Report 220 (2014), https://www.aapm.org/pubs/reports/RPT_220.pdf
    """
    diameters, outline, cut = [], 0, 0
    for plane, mask in zip(hu, body_mask(hu), strict=True):
        if not mask.any():
            continue
        water = np.clip(plane[mask], HU_MIN, HU_MAX).mean(dtype=np.float64) / 1000 + 1
        area = mask.sum() * spacing_mm[0] * spacing_mm[1]
        diameters.append(2 * math.sqrt(max(water, 0.0) * area / math.pi))
        edge = mask & ~ndimage.binary_erosion(mask)
        outline += int(edge.sum())
        cut += int((edge & _at_the_rim(plane)).sum())
    if not diameters:
        return None
    return BodySize(float(np.mean(diameters)), cut / outline)


def _at_the_rim(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels at the edge of the image, or of the circle beyond which nothing was reconstructed."""
    beyond = np.zeros(plane.shape, dtype=bool)
    corners = plane[[0, 0, -1, -1], [0, -1, 0, -1]]
    if (corners == corners[0]).all():
        # Air has noise: a uniform piece in all four corners is filling, unless it comes nearer than such circles do.
        labels, _ = ndimage.label(plane == corners[0])
        filling = np.isin(labels, labels[[0, 0, -1, -1], [0, -1, 0, -1]])
        rows, columns = np.nonzero(filling)
        far = np.hypot(rows / (plane.shape[0] - 1) - 0.5, columns / (plane.shape[1] - 1) - 0.5)
        beyond = filling if far.min() >= NEAREST_FILLING else beyond
    # Opening has rounded the outline by as much.
    return np.asarray(ndimage.binary_dilation(np.pad(beyond, 1, constant_values=True), iterations=3)[1:-1, 1:-1])
