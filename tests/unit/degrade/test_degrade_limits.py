"""Scans of absurd sizes are told as such; the simulator neither hangs on them nor divides by nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.limits import check_fit
from med_stylesr.degrade.projector import back_project
from med_stylesr.degrade.scan import DegradationPlan
from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid


def plan(
    dose: float = 0.5,
    thickness_mm: float | None = None,
    step_mm: float | None = None,
    pixel_mm: float | None = None,
) -> DegradationPlan:
    return DegradationPlan(
        dose, thickness_mm, step_mm, "rectangular", pixel_mm, None, 0, "ge-lightspeed", 1e5, "soft", 3.0, 0.0
    )


def grid(pixel_mm: float = 2.0, size: int = 64) -> VoxelGrid:
    return VoxelGrid((4, size, size), np.diag([pixel_mm, pixel_mm, 3.0, 1.0]))


@pytest.mark.parametrize("pixel_mm", [90.0, 500.0])
def test_pixels_that_do_not_fit_into_the_field_of_view_are_told(pixel_mm: float) -> None:
    with pytest.raises(InputError, match="pixel spacing"):
        check_fit(grid(pixel_mm), None, plan(), "scan")


def test_slices_much_thicker_than_their_distance_are_told() -> None:
    with pytest.raises(InputError, match="thick"):
        check_fit(grid(), 1e6, plan(), "scan")


def test_usual_scans_and_wishes_pass() -> None:
    check_fit(grid(), 5.0, plan(), "scan")
    check_fit(grid(), 3.0, plan(1.0, thickness_mm=6.0, step_mm=1.0, pixel_mm=16.0), "scan")
    check_fit(grid(size=4), 3.0, plan(1.0, pixel_mm=2.0), "scan")


def test_a_projector_that_sees_no_pixel_says_so() -> None:
    geometry = SCANNERS["ge-lightspeed"].coarsened(2, 8)
    filtered = torch.zeros(1, geometry.views, 2 * geometry.bins)
    with pytest.raises(ValueError, match="field of view"):
        back_project(filtered, 4, 500.0, geometry)
