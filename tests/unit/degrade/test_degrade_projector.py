"""Projection and filtered back projection against what geometry and calculus say."""

from __future__ import annotations

import math

import pytest
import torch

from med_stylesr.degrade.dose import MU_WATER_PER_MM
from med_stylesr.degrade.geometry import SCANNERS, FanBeamGeometry, ParallelGeometry, ScanGeometry
from med_stylesr.degrade.kernel import KERNELS, ReconstructionKernel
from med_stylesr.degrade.projector import filtered_back_projection, project, project_adjoint

PIXEL_MM = 1.2
PARALLEL = ParallelGeometry(views=360, bins=252, ray_mm=0.9)
FAN = FanBeamGeometry(source_to_isocenter_mm=541.0, bin_rad=0.9 / 541.0, views=360, bins=252, offset_bins=0.25)
BOTH = pytest.mark.parametrize("geometry", [PARALLEL, FAN], ids=["parallel", "fan"])


@BOTH
def test_line_integrals_of_a_disc_are_its_chords(geometry: ScanGeometry, disc) -> None:
    lines = project(disc(60.0) / 1000 + 1, PIXEL_MM, geometry)[0]
    position = geometry.bin_positions(lines)
    distance = position if isinstance(geometry, ParallelGeometry) else 541.0 * torch.sin(position)
    chord = 2 * (60.0**2 - distance**2).clamp_min(0).sqrt()
    deep = distance.abs() < 50
    assert (lines[:, deep] - chord[deep]).abs().max() < 0.01 * 120


@BOTH
def test_noiseless_water_comes_back_within_5_hu(geometry: ScanGeometry, disc) -> None:
    lines = _water_lines(geometry, radius_mm=60.0).expand(1, geometry.views, -1)
    again = filtered_back_projection(lines, 128, PIXEL_MM, geometry, KERNELS["standard"])
    error = (again[0] / MU_WATER_PER_MM - 1) * 1000
    assert error[disc(50.0)[0] == 0].abs().max() < 5


def _water_lines(geometry: ScanGeometry, radius_mm: float) -> torch.Tensor:
    """Chords of a water disc in the isocentre, averaged over the width of each bin as a detector does."""
    center = geometry.bin_positions(torch.zeros(1, dtype=torch.float64))
    within = (torch.arange(16, dtype=torch.float64) - 7.5) / 16 * geometry.bin_pitch
    position = center[:, None] + within
    distance = position if isinstance(geometry, ParallelGeometry) else 541.0 * torch.sin(position)
    return 2 * MU_WATER_PER_MM * (radius_mm**2 - distance**2).clamp_min(0).sqrt().mean(1).float()


@BOTH
def test_adjoint_satisfies_the_dot_product_identity(geometry: ScanGeometry) -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 32, 32, generator=random, dtype=torch.float64)
    y = torch.randn(2, geometry.views, geometry.bins, generator=random, dtype=torch.float64)
    forward = (project(x, 4.0, geometry) * y).sum()
    backward = (x * project_adjoint(y, 32, 4.0, geometry)).sum()
    assert abs(forward - backward) < 1e-5 * abs(forward)


@BOTH
def test_turning_the_slice_turns_the_sinogram(geometry: ScanGeometry, disc) -> None:
    off_center = disc(20.0, center_mm=(30.0, 10.0)) / 1000 + 1
    quarter = geometry.views // geometry.quarter_turns
    lines = project(off_center, PIXEL_MM, geometry)
    turned = project(torch.rot90(off_center, 1, (1, 2)), PIXEL_MM, geometry)
    torch.testing.assert_close(turned[:, quarter:], lines[:, :-quarter], atol=1e-3, rtol=0)


@BOTH
def test_an_off_centre_disc_comes_back_where_it_was(geometry: ScanGeometry, disc) -> None:
    slices = torch.cat([disc(12.0, center_mm=(35.0, -20.0)), disc(9.0, center_mm=(-10.0, 40.0))]) / 1000 + 1
    again = filtered_back_projection(
        project(slices, PIXEL_MM, geometry), 128, PIXEL_MM, geometry, ReconstructionKernel.ramp()
    )
    axis = torch.arange(128.0)
    for before, after in zip(slices, again.clamp_min(0.3) - 0.3, strict=True):
        for dim in (0, 1):
            where = [(image.sum(dim) * axis).sum() / image.sum() for image in (before, after)]
            assert abs(where[0] - where[1]) < 0.1


def test_reconstruction_is_linear_and_differentiable() -> None:
    lines = torch.randn(1, FAN.views, FAN.bins, generator=torch.Generator().manual_seed(1), requires_grad=True)
    image = filtered_back_projection(lines, 32, 4.0, FAN, ReconstructionKernel.ramp())
    (gradient,) = torch.autograd.grad(image.square().sum() / 2, lines)
    assert torch.isclose((gradient * lines).sum(), image.square().sum(), rtol=1e-3)


def test_published_scanners_see_a_50_cm_patient() -> None:
    for scanner in SCANNERS.values():
        assert 245 < scanner.field_radius_mm < 255


@pytest.mark.parametrize("views", [0, 362])
def test_views_that_break_the_symmetry_are_refused(views: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        FanBeamGeometry(source_to_isocenter_mm=541.0, bin_rad=0.001, views=views, bins=100)


def test_coarse_bins_and_views_lie_at_the_centre_of_the_fine_ones() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    coarse = FAN.coarsened(3, 2)
    fine_bins = FAN.bin_positions(like).reshape(-1, 2).mean(1)
    torch.testing.assert_close(coarse.bin_positions(like), fine_bins)
    fine_views = FAN.view_angles(range(360), like).reshape(-1, 3).mean(1)
    torch.testing.assert_close(coarse.view_angles(range(120), like), fine_views)
    assert math.isclose(coarse.bin_mm, 2 * FAN.bin_mm)


def test_slices_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        project(torch.zeros(1, 8, 9), 1.0, PARALLEL)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@BOTH
def test_cuda_gives_the_numbers_of_the_cpu(geometry: ScanGeometry, disc) -> None:
    water = (disc(60.0) / 1000 + 1) * MU_WATER_PER_MM
    results = []
    for device in ("cpu", "cuda"):
        lines = project(water.to(device), PIXEL_MM, geometry)
        results.append(filtered_back_projection(lines, 128, PIXEL_MM, geometry, KERNELS["standard"]).cpu())
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=1e-3)
