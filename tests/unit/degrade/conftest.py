"""A small scanner and discs of water: 128 x 128 pixels hold the physics that 512 x 512 do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from med_stylesr.degrade.dose import DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import FanBeamGeometry

PIXEL_MM = 1.2
SIZE = 128


@pytest.fixture(scope="session")
def scanner() -> FanBeamGeometry:
    return FanBeamGeometry(source_to_isocenter_mm=541.0, bin_rad=0.9 / 541.0, views=360, bins=252, offset_bins=0.25)


@pytest.fixture(scope="session")
def simulator(scanner: FanBeamGeometry) -> LowDoseSimulator:
    return LowDoseSimulator(scanner, DetectorModel())


@pytest.fixture(scope="session")
def disc() -> Callable[..., Tensor]:
    """HU of a disc in air, (1, SIZE, SIZE), its edge averaged over sub-pixels."""

    def make(radius_mm: float, hu: float = 0.0, center_mm: tuple[float, float] = (0.0, 0.0)) -> Tensor:
        fine = 4
        axis = (torch.arange(SIZE * fine) - (SIZE * fine - 1) / 2) * PIXEL_MM / fine
        inside = (axis - center_mm[0]) ** 2 + (-axis[:, None] - center_mm[1]) ** 2 < radius_mm**2
        share = torch.nn.functional.avg_pool2d(inside.float()[None, None], fine)[0]
        return -1000 + share * (1000 + hu)

    return make


@pytest.fixture(scope="session")
def spacing() -> tuple[float, float, float]:
    return (2.0, PIXEL_MM, PIXEL_MM)
