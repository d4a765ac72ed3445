"""Where to measure: the body, flat pieces of tissue, and tissue classes that noise cannot bias.

Every choice of voxels here looks at a *smoothed* image only. Choosing on the noisy image itself would select the
voxels whose noise happens to fit, and every statistic of that noise would then be wrong.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.hu import TISSUES, TissueRange

BODY_THRESHOLD_HU: Final = -400.0
"""Between lung (inside, filled) or air (outside) and skin fat."""
CLASS_SMOOTHING_MM: Final = 3.0
"""Standard deviation of the in-plane Gaussian that a reference is smoothed with before tissue classes are drawn."""
CLASS_EROSION_MM: Final = 2.5
"""Distance kept from every class border: partial volume of both images stays outside.

A border between two other classes is crossed by the smoothed image in less than twice this distance.
"""
FLATNESS_SMOOTHING_MM: Final = 4.0
"""Standard deviation of the Gaussian under which structure remains and noise does not, for the flat-region finder."""
FLAT_TISSUE: Final = TissueRange(-20, 150)
"""Where flat regions are looked for: water, muscle, solid organs, enhanced blood."""

CLASSES: Final[dict[str, TissueRange]] = {
    **TISSUES,
    # Symmetric about air: a limit at -1024 would keep the voxels whose noise is high and call that a shift.
    "air": TissueRange(-1060, -940),
    # Iodine in large vessels: above unenhanced soft tissue, below cortical bone (Kalender, as for hu.TISSUES).
    "contrast": TissueRange(120, 240),
}
"""Tissue classes of the bias tables, HU."""


class Roi(NamedTuple):
    """A square region of one slice: first row, first column, edge length in voxels."""

    slice: int
    row: int
    column: int
    size: int

    def cut(self, hu: NDArray[Any]) -> NDArray[np.float64]:
        """The region's HU as float64 of shape (size, size)."""
        box = hu[self.slice, self.row : self.row + self.size, self.column : self.column + self.size]
        return np.asarray(box, dtype=np.float64)


def body_mask(hu: NDArray[Any]) -> NDArray[np.bool_]:
    """Largest connected piece denser than air in every slice, its air-filled organs included.

    Args:
        hu: HU, shape (slices, rows, columns).

    Returns:
        Mask of the same shape; empty where a slice holds no body.
    """
    mask = np.zeros(hu.shape, dtype=bool)
    cross = ndimage.generate_binary_structure(2, 1)
    for k, plane in enumerate(hu):
        # Opening cuts the table's thin shell and tubes off the patient.
        dense = ndimage.binary_opening(plane > BODY_THRESHOLD_HU, cross, iterations=2)
        labels, count = ndimage.label(dense)
        if not count:
            continue
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        outside, _ = ndimage.label(labels != sizes.argmax())
        border = np.concatenate([outside[0], outside[-1], outside[:, 0], outside[:, -1]])
        mask[k] = ~np.isin(outside, np.unique(border[border > 0]))
    return mask


def tissue_masks(reference: NDArray[Any], spacing_mm: tuple[float, float, float]) -> dict[str, NDArray[np.bool_]]:
    """Masks of air, lung, fat, soft tissue, bone and contrast, drawn on a smoothed reference and eroded.

    Smoothing keeps noise from choosing the voxels; erosion keeps partial volume out. Compare every image over the
    *same* masks: masks drawn on the image under test would hide the very shift that is looked for.

    Args:
        reference: HU, shape (slices, rows, columns): the normal-dose scan, or the input where there is none.
        spacing_mm: voxel spacing (slice, row, column).

    Returns:
        One mask a class of `CLASSES`, each of the shape of `reference`; a class the scan lacks is empty.
    """
    sigma = [CLASS_SMOOTHING_MM / mm for mm in spacing_mm[1:]]
    disk = _disk(CLASS_EROSION_MM, spacing_mm)
    masks = {name: np.zeros(reference.shape, dtype=bool) for name in CLASSES}
    for k, plane in enumerate(reference):
        smooth = ndimage.gaussian_filter(plane.astype(np.float32), sigma, mode="nearest")
        for name, (low, high) in CLASSES.items():
            masks[name][k] = ndimage.binary_erosion((smooth >= low) & (smooth < high), disk)
    return masks


def flat_rois(
    reference: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    *,
    size_mm: float,
    count: int,
    tissue: TissueRange = FLAT_TISSUE,
) -> list[Roi]:
    """Find the square regions of soft tissue that hold the least structure, flattest first, none overlapping.

    Structure is the standard deviation of the Gaussian-smoothed reference inside the region. Noise does not enter the
    ranking (save its part below about 0.05 /mm), so that the noise in the chosen regions is that of the scan.

    Args:
        reference: HU, shape (slices, rows, columns). Use one reference for all images that are to be compared.
        spacing_mm: voxel spacing (slice, row, column).
        size_mm: edge of a region along the row; the edge in voxels is rounded to an even number.
        count: how many regions are wanted; fewer come back when the scan has no more room.
        tissue: HU range in which the whole smoothed region must lie.

    Returns:
        Regions, at most `count`.
    """
    size = max(8, 2 * round(size_mm / spacing_mm[2] / 2))
    if size > min(reference.shape[1:]):
        return []
    sigma = [FLATNESS_SMOOTHING_MM / mm for mm in spacing_mm[1:]]
    step = size // 4
    candidates: list[tuple[float, Roi]] = []
    for k in spread_indices(reference.shape[0], 32):
        smooth = ndimage.gaussian_filter(reference[k].astype(np.float64), sigma, mode="nearest")
        soft = _windows((smooth >= tissue.low) & (smooth < tissue.high), size, step)
        rows, columns = np.nonzero(soft.all((2, 3)))
        structure = _windows(smooth, size, step)[rows, columns].std((1, 2))
        candidates += [
            (float(s), Roi(k, int(r) * step, int(c) * step, size))
            for s, r, c in zip(structure, rows, columns, strict=True)
        ]
    chosen: list[Roi] = []
    for _, roi in sorted(candidates):
        if len(chosen) == count:
            break
        if not any(_overlap(roi, other) for other in chosen):
            chosen.append(roi)
    return chosen


def _windows(image: NDArray[Any], size: int, step: int) -> NDArray[Any]:
    """Squares of an image at every `step` voxels, (rows, columns, size, size), without a copy."""
    return np.lib.stride_tricks.sliding_window_view(image, (size, size))[::step, ::step]


def _overlap(a: Roi, b: Roi) -> bool:
    return a.slice == b.slice and abs(a.row - b.row) < a.size and abs(a.column - b.column) < a.size


def spread_indices(total: int, wanted: int) -> list[int]:
    """At most `wanted` indices, evenly spread over `total`."""
    return sorted({int(k) for k in np.linspace(0, total - 1, min(total, wanted)).round()})


def inner_indices(total: int, wanted: int) -> list[int]:
    """At most `wanted` indices, evenly spread over `total` with as much room left at both ends as between them."""
    return [k - 1 for k in spread_indices(total + 2, wanted + 2)[1:-1]]


def _disk(radius_mm: float, spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Footprint of a disk in the slice plane; at least the voxel's four neighbours."""
    ry, rx = (max(1, int(np.ceil(radius_mm / mm))) for mm in spacing_mm[1:])
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.asarray((y / ry) ** 2 + (x / rx) ** 2 <= 1 + 1e-9)
