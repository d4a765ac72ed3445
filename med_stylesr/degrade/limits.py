"""What a plan may ask of a scan, so that nothing takes for ever and something is left to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid

if TYPE_CHECKING:
    from med_stylesr.degrade.scan import DegradationPlan

PHOTONS: Final = (1e2, 1e9)
"""Photons a ray; full dose has 1e5 to 1e6. Below, noise hides every scan; above, it is less than a stored HU."""
LEAST_DOSE: Final = 1e-4
MOST_ELECTRONIC: Final = 1e4
_LEAST_PIXELS: Final = 8
"""Rows and columns that an image must keep, and that a scanner's field of view must hold."""
_FINEST_STEP: Final = 1 / 8
"""Smallest step of the slices made, as a share of the distance of those they are made of: less would tell nothing."""
_MOST_OVERLAP: Final = 64
"""Slice distances that a slice may be thick: noise is drawn once more for every one of them."""


def check_fit(grid: VoxelGrid, thickness_mm: float | None, plan: DegradationPlan, name: str) -> None:
    """Refuse what no scan of this grid can sensibly be made into.

    Args:
        grid: of the scan.
        thickness_mm: its slice thickness, or None if unknown.
        plan: what to do.
        name: what messages call the scan.

    Raises:
        InputError: if slices would be far finer than the scan's, pixels too few, or the scan's own sizes are absurd.
    """
    distance, pixel, size = grid.plane_distance_mm, grid.spacing_mm[2], min(grid.shape[1:])
    step, option = (plan.step_mm, "--step") if plan.step_mm is not None else (plan.thickness_mm, "--thickness")
    if step is not None and step < distance * _FINEST_STEP:
        why = f"{option} {step:g} is far finer than the {distance:.3g} mm from slice to slice"
        raise InputError(name, why, f"use {distance * _FINEST_STEP:.3g} or more")
    if plan.pixel_mm is not None and round(size * pixel / plan.pixel_mm) < min(_LEAST_PIXELS, size):
        why = f"--pixel {plan.pixel_mm:g} leaves fewer than {_LEAST_PIXELS} rows or columns"
        raise InputError(name, why, f"use at most {size * pixel / _LEAST_PIXELS:.3g}")
    if plan.pixel_mm is not None and (plan.psf_fwhm_mm or 0) > size * pixel:
        raise InputError(name, f"--psf {plan.psf_fwhm_mm:g} is wider than the image", f"use less than {size * pixel:g}")
    if plan.dose_fraction == 1:
        return
    field_mm = 2 * SCANNERS[plan.scanner].field_radius_mm
    if _LEAST_PIXELS * pixel > field_mm:
        why = f"its pixels of {pixel:g} mm do not fit into the {field_mm:.0f} mm that the scanner sees"
        raise InputError(name, why, "correct its pixel spacing")
    if thickness_mm is not None and thickness_mm > _MOST_OVERLAP * distance:
        why = f"its slices are {thickness_mm:g} mm thick and lie {distance:.3g} mm apart"
        raise InputError(name, why, "correct its slice thickness")


__all__ = ["LEAST_DOSE", "MOST_ELECTRONIC", "PHOTONS", "check_fit"]
