"""The water-equivalent diameter: what it must be where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from med_stylesr.metrics.body_size import body_size

SPACING = (1.2, 1.2)


def cylinder(diameter_mm: float, hu: float = 0.0, shift_mm: float = 0.0, size: int = 320) -> np.ndarray:
    y, x = ((np.arange(size) - size / 2) * SPACING[0] for _ in range(2))
    inside = (x[None] - shift_mm) ** 2 + y[:, None] ** 2 <= (diameter_mm / 2) ** 2
    noise = np.random.default_rng(0).normal(0, 10, (2, size, size))
    return (np.where(inside, hu, -1000.0) + noise).astype(np.float32)


@pytest.mark.parametrize("diameter", [160.0, 300.0])
def test_of_a_water_cylinder_it_is_the_diameter(diameter: float) -> None:
    size = body_size(cylinder(diameter), SPACING)
    assert size is not None
    assert size.wed_mm == pytest.approx(diameter, rel=0.02)
    assert size.truncated == 0


def test_denser_bodies_are_larger_by_the_root_of_their_density() -> None:
    size = body_size(cylinder(250, hu=210), SPACING)
    assert size is not None
    assert size.wed_mm == pytest.approx(250 * np.sqrt(1.21), rel=0.02)


def test_lungs_belong_to_the_body_and_count_by_their_density() -> None:
    hu = cylinder(300)
    hu[:, 140:180, 140:180] = -800
    size = body_size(hu, SPACING)
    hole = 40 * 40 * SPACING[0] * SPACING[1] * 0.8
    assert size is not None
    assert size.wed_mm == pytest.approx(2 * np.sqrt((np.pi * 150**2 - hole) / np.pi), rel=0.02)


def test_a_body_that_leaves_the_image_is_known_to_be_truncated() -> None:
    size = body_size(cylinder(300, shift_mm=150), SPACING)
    assert size is not None
    assert 0.15 < size.truncated < 0.5
    assert size.wed_mm < 300


@pytest.mark.parametrize("filling", [-2000.0, -1024.0])
def test_a_body_that_leaves_the_circle_of_reconstruction_is_known_to_be_truncated(filling: float) -> None:
    hu = cylinder(300, shift_mm=90)
    y, x = np.ogrid[-160:160, -160:160]
    hu[:, y**2 + x**2 > 158**2] = filling
    size = body_size(hu, SPACING)
    assert size is not None
    assert 0.1 < size.truncated < 0.6


def test_air_without_noise_around_a_body_is_no_edge() -> None:
    hu = cylinder(200)
    size = body_size(np.where(hu < -500, -1000, hu), SPACING)
    assert size is not None
    assert size.truncated == 0


def test_air_has_no_size() -> None:
    assert body_size(np.full((2, 64, 64), -1000, dtype=np.int16), SPACING) is None
