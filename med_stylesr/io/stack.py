"""Order and geometry of parallel slices: from positions and orientation to an affine, and what is odd about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.geometry import Affine

SAME_PLACE_MM: Final = 0.005
"""Two slices closer than this lie at the same place (the finest reconstruction increments are 0.1 mm)."""
EVEN_FRACTION: Final = 0.01
"""Share of the spacing that slices may be off an even grid: what rounding of positions in headers amounts to."""
EVEN_MM: Final = 0.005
"""Distance in mm that slices may always be off an even grid."""


@dataclass(frozen=True)
class Stack:
    """Slices in order along their normal.

    Attributes:
        order: indices of the given slices, sorted along the normal (row direction x column direction).
        affine: 4x4, voxel (column i, row j, slice k, 1) to LPS mm; least squares when the slices are uneven.
        slice_origins_mm: (slices, 3) LPS mm of each slice's first voxel if they are not evenly spaced, else None.
        warnings: what was found odd, and what is assumed.
    """

    order: tuple[int, ...]
    affine: Affine
    slice_origins_mm: NDArray[np.float64] | None
    warnings: tuple[str, ...]


def same_place(origins_mm: NDArray[np.float64], orientation: Sequence[float]) -> list[list[int]]:
    """Slices grouped by place along the normal, in order; a group of several holds duplicates or phases.

    Args:
        origins_mm: (slices, 3) LPS mm of the first voxels (ImagePositionPatient).
        orientation: row and column direction (ImageOrientationPatient), 6 numbers.
    """
    depth = origins_mm @ _axes(orientation)[2]
    groups: list[list[int]] = []
    for index in np.argsort(depth, kind="stable").tolist():
        if groups and depth[index] - depth[groups[-1][0]] < SAME_PLACE_MM:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def is_even(origins_mm: NDArray[np.float64]) -> bool:
    """Whether sorted slices lie on an even line within `EVEN_FRACTION` of their step."""
    step, residual = _line(origins_mm)[1:]
    return bool(residual <= max(EVEN_MM, EVEN_FRACTION * float(np.linalg.norm(step))))


def arrange(
    origins_mm: NDArray[np.float64],
    orientation: Sequence[float],
    pixel_spacing_mm: Sequence[float],
    single_step_mm: float,
) -> Stack:
    """Sort slices along their normal and place them.

    The affine follows PS3.3 C.7.6.2.1.1 for the plane; the slice step is fitted to the positions, so a tilted gantry
    gives a sheared affine. Slices must lie at different places (see `same_place`).

    Args:
        origins_mm: (slices, 3) LPS mm of the first voxels.
        orientation: row and column direction, 6 numbers.
        pixel_spacing_mm: between rows, between columns (PixelSpacing).
        single_step_mm: step along the normal assumed for a single slice.
    """
    row, column, normal = _axes(orientation)
    depth = origins_mm @ normal
    order = np.argsort(depth, kind="stable")
    origins = origins_mm[order]
    affine = np.eye(4)
    affine[:3, 0] = row * pixel_spacing_mm[1]
    affine[:3, 1] = column * pixel_spacing_mm[0]
    indices = tuple(order.tolist())
    if len(origins) == 1:
        affine[:3, 2], affine[:3, 3] = normal * single_step_mm, origins[0]
        return Stack(indices, affine, None, ())
    start, step, _ = _line(origins)
    if is_even(origins):
        affine[:3, 2], affine[:3, 3] = (origins[-1] - origins[0]) / (len(origins) - 1), origins[0]
        return Stack(indices, affine, None, ())
    affine[:3, 2], affine[:3, 3] = step, start
    return Stack(indices, affine, origins, _oddities(origins, normal))


def _axes(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    row = np.asarray(orientation[:3], dtype=np.float64)
    row = row / np.linalg.norm(row)
    column = np.asarray(orientation[3:], dtype=np.float64)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _line(origins: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Least-squares start and step of evenly spaced points, and the greatest distance of a point from its place."""
    if len(origins) < 2:
        return origins[0], np.zeros(3), 0.0
    k = np.arange(len(origins), dtype=np.float64)
    design = np.stack([np.ones_like(k), k], axis=1)
    (start, step), *_ = np.linalg.lstsq(design, origins, rcond=None)
    residual = np.linalg.norm(origins - design @ np.stack([start, step]), axis=1).max()
    return start, step, float(residual)


def _oddities(origins: NDArray[np.float64], normal: NDArray[np.float64]) -> tuple[str, ...]:
    gaps = np.diff(origins @ normal)
    usual = float(np.median(gaps))
    tolerance = max(2 * EVEN_MM, 2 * EVEN_FRACTION * usual)
    found = []
    multiples = np.rint(gaps / usual)
    if np.abs(gaps - multiples * usual).max() <= tolerance * max(1.0, multiples.max()) and multiples.max() > 1:
        missing = int((multiples - 1).sum())
        after = ", ".join(str(int(k) + 1) for k in np.flatnonzero(multiples > 1)[:5])
        found.append(
            f"{missing} slice(s) are missing (spacing {usual:.4g} mm, gap after slice {after}); "
            "the others keep their own positions and nothing is made up for the gap"
        )
    elif np.abs(gaps - usual).max() > tolerance:
        found.append(
            f"slice spacing varies from {gaps.min():.4g} to {gaps.max():.4g} mm; slices keep their own positions"
        )
    lateral = origins - (origins @ normal)[:, None] * normal
    depth = origins @ normal
    design = np.stack([np.ones_like(depth), depth], axis=1)
    fit, *_ = np.linalg.lstsq(design, lateral, rcond=None)
    sideways = float(np.linalg.norm(lateral - design @ fit, axis=1).max())
    if sideways > tolerance:
        found.append(
            f"slices are shifted sideways against each other by up to {sideways:.4g} mm; they keep their own positions"
        )
    return tuple(found)
