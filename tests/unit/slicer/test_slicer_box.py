"""Crops and finer grids: every voxel stays where it is in the patient."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from MedStyleSRLib.box import CELL, Box, box_around, cropped_affine, finer_affine

from med_stylesr.geometry import VoxelGrid

AFFINE = np.array([[0.6, -0.2, 0.3, 10], [0.2, 0.6, 0.1, -5], [-0.1, 0.1, 2.0, 40], [0, 0, 0, 1.0]])
SHAPE = (40, 300, 260)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    starts = [draw(st.integers(0, n - 1)) for n in SHAPE]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, SHAPE, strict=True)]
    return Box(tuple(starts), tuple(stops))


@given(boxes(), st.booleans())
def test_context_holds_the_box_lies_in_the_volume_and_begins_on_cells(box: Box, between: bool) -> None:
    outer = box.with_context(SHAPE, between)
    for axis in range(3):
        assert 0 <= outer.start[axis] <= box.start[axis] < box.stop[axis] <= outer.stop[axis] <= SHAPE[axis]
    assert outer.start[1] % CELL == outer.start[2] % CELL == 0
    # A neighbour on either side wherever there is one.
    assert outer.start[0] < box.start[0] or box.start[0] == 0
    assert outer.stop[0] > box.stop[0] or box.stop[0] == SHAPE[0]


@given(boxes(), st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)))
def test_a_voxel_of_a_finer_crop_lies_where_it_lay_in_the_finer_whole(box: Box, factors: tuple[int, int, int]) -> None:
    outer = box.with_context(SHAPE, between=False)
    kept = box.inside(outer, factors)
    assert kept.shape == tuple(n * f for n, f in zip(box.shape, factors, strict=True))
    of_crop = finer_affine(cropped_affine(AFFINE, box), factors) @ [0, 0, 0, 1]
    of_outer = finer_affine(cropped_affine(AFFINE, outer), factors) @ [*kept.start[::-1], 1]
    np.testing.assert_allclose(of_crop, of_outer, atol=1e-9)


def test_the_finer_grid_is_that_of_the_engine() -> None:
    grid = VoxelGrid((4, 5, 6), AFFINE)
    np.testing.assert_allclose(
        finer_affine(AFFINE, (3, 2, 2)), grid.super_resolved((3, 2, 2)).affine, rtol=0, atol=1e-12
    )


@given(boxes())
def test_the_box_around_the_corners_of_a_box_is_that_box(box: Box) -> None:
    low, high = np.array(box.start[::-1]) - 0.5, np.array(box.stop[::-1]) - 0.5
    corners = np.array([[x, y, z, 1] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    assert box_around((corners @ AFFINE.T)[:, :3], AFFINE, SHAPE) == box


def test_points_beside_the_volume_have_no_box() -> None:
    beside = (AFFINE @ [-50, 10, 10, 1])[:3]
    assert min(box_around([beside, beside + 1], AFFINE, SHAPE).shape) <= 0
