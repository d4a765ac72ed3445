"""Measuring a scan's noise, and getting back the photons and the kernel it was made with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from med_stylesr.degrade.calibration import NoFlatTissueError, calibrate
from med_stylesr.degrade.dose import Calibration, LowDoseSimulator
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.degrade.texture import ROI, flat_regions, measure

TRUE = Calibration(1.5e5, KERNELS["soft"])


@pytest.fixture(scope="module")
def scan(simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]) -> Tensor:
    water = disc(65.0, hu=40.0).expand(12, -1, -1)
    return water + simulator.scan_noise(water, spacing, TRUE, seed=11)


def test_white_noise_is_measured_flat_and_true() -> None:
    noise = 12.0 * torch.randn(8, 96, 96, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([(k, r, c) for k in range(8) for r in (0, 32, 64) for c in (0, 32, 64)])
    texture = measure(noise, 0.8, regions)
    assert math.isclose(texture.noise_sd_hu, 12.0, rel_tol=0.05)
    below_nyquist = texture.nps[texture.frequency_per_mm <= 0.5 / 0.8]
    assert below_nyquist.max() < 1.35 * below_nyquist.min()


def test_trends_of_the_anatomy_do_not_count_as_noise() -> None:
    noise = 5.0 * torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(0))
    slope = torch.linspace(0, 60, 64)
    regions = torch.tensor([(k, r, c) for k in range(8) for r in (0, 32) for c in (0, 32)])
    flat, sloped = (measure(x, 0.8, regions).noise_sd_hu for x in (noise, noise + slope + slope[:, None]))
    assert math.isclose(flat, sloped, rel_tol=0.01)


def test_flat_regions_avoid_edges_and_air(disc: Callable[..., Tensor]) -> None:
    body = disc(65.0)
    regions = flat_regions(body)
    assert len(regions) >= 4
    for k, r, c in regions.tolist():
        assert body[k, r + 4 : r + ROI - 4, c + 4 : c + ROI - 4].min() > -50


def test_calibration_gets_back_the_photons_and_the_noise(
    simulator: LowDoseSimulator, scan: Tensor, spacing: Sequence[float]
) -> None:
    fitted = calibrate(simulator, scan, spacing)
    noise = simulator.scan_noise(scan, spacing, fitted, seed=12)
    again = simulator.scan_noise(scan, spacing, TRUE, seed=12)
    middle = slice(48, 80)
    assert math.isclose(noise[:, middle, middle].std(), again[:, middle, middle].std(), rel_tol=0.05)
    known = calibrate(simulator, scan, spacing, kernel=TRUE.kernel)
    assert math.isclose(known.i0_photons, TRUE.i0_photons, rel_tol=0.10)


def test_calibration_matches_the_texture(simulator: LowDoseSimulator, scan: Tensor, spacing: Sequence[float]) -> None:
    fitted = calibrate(simulator, scan, spacing)
    regions = flat_regions(scan)
    own = measure(scan, spacing[2], regions)
    simulated = measure(simulator.scan_noise(scan, spacing, fitted, seed=13), spacing[2], regions)
    loud = own.nps > 0.05 * own.nps.max()
    assert ((simulated.nps / own.nps)[loud].log().abs()).max() < math.log(1.35)


def test_quarter_dose_of_a_calibrated_scan_doubles_its_noise(
    simulator: LowDoseSimulator, scan: Tensor, spacing: Sequence[float]
) -> None:
    quarter = scan + simulator.noise(scan, spacing, 0.25, calibrate(simulator, scan, spacing), seed=14)
    regions = flat_regions(scan)
    before, after = (measure(x, spacing[2], regions).noise_sd_hu for x in (scan, quarter))
    assert math.isclose(after / before, 2.0, rel_tol=0.06)


@pytest.fixture(scope="module")
def oblong() -> Tensor:
    """A body as wide and as flat as shoulders, dense enough that rays along it starve."""
    hu = torch.full((12, 128, 128), -1000.0)
    hu[:, 40:88, 8:120] = 40.0
    hu[:, 52:76, 10:24] = hu[:, 52:76, 104:118] = 1200.0
    return hu


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_calibration_finds_how_the_tube_current_followed_an_oblong_body(
    simulator: LowDoseSimulator, oblong: Tensor, spacing: Sequence[float], exponent: float
) -> None:
    true = Calibration(4e5, KERNELS["soft"], tube_current_modulation=exponent)
    scan = oblong + simulator.scan_noise(oblong, spacing, true, seed=15)
    fitted = calibrate(simulator, scan, spacing)
    # Few regions pull it towards the usual 0.5.
    assert abs(fitted.tube_current_modulation - exponent) < 0.3
    kept = calibrate(simulator, scan, spacing, tube_current_modulation=0.25)
    assert kept.tube_current_modulation == 0.25


def test_calibrated_noise_streaks_like_the_scan(
    simulator: LowDoseSimulator, oblong: Tensor, spacing: Sequence[float]
) -> None:
    true = Calibration(4e5, KERNELS["soft"], tube_current_modulation=0.7)
    scan = oblong + simulator.scan_noise(oblong, spacing, true, seed=16)
    regions = flat_regions(scan)
    own = measure(scan, spacing[2], regions).streaking

    def simulated(calibration: Calibration) -> float:
        return measure(simulator.scan_noise(scan, spacing, calibration, seed=17), spacing[2], regions).streaking

    fitted = calibrate(simulator, scan, spacing)
    assert abs(simulated(fitted) - own) < 0.2
    # Constant current, which every scan was once simulated with, is told apart: the test can fail.
    assert abs(simulated(calibrate(simulator, scan, spacing, tube_current_modulation=0.0)) - own) > 0.5


def test_white_noise_does_not_streak_and_streaks_along_rows_do() -> None:
    noise = torch.randn(8, 96, 96, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([(k, r, c) for k in range(8) for r in (0, 32, 64) for c in (0, 32, 64)])
    assert abs(measure(noise, 0.8, regions).streaking) < 0.1
    along_rows = noise + noise[:, :, :1]
    assert measure(along_rows, 0.8, regions).streaking > 1
    assert measure(along_rows.transpose(1, 2), 0.8, regions).streaking < -1


@pytest.mark.parametrize("hu", [-1000.0, 0.0])
def test_air_and_noiseless_scans_cannot_be_calibrated_on(
    simulator: LowDoseSimulator, spacing: Sequence[float], hu: float
) -> None:
    with pytest.raises(NoFlatTissueError):
        calibrate(simulator, torch.full((2, 128, 128), hu), spacing)
