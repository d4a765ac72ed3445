"""The inserted noise against Poisson statistics and the theory of filtered back projection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from med_stylesr.degrade.dose import (
    MU_WATER_PER_MM,
    Calibration,
    DetectorModel,
    LowDoseSimulator,
    _Step,
    shared_noise_weights,
)
from med_stylesr.degrade.geometry import FanBeamGeometry
from med_stylesr.degrade.kernel import KERNELS

RADIUS_MM = 65.0
I0 = 2e4
CALIBRATION = Calibration(I0, KERNELS["standard"])


def theoretical_sd_hu(
    scanner: FanBeamGeometry, detector: DetectorModel, dose: float, x_mm: float, calibration: Calibration
) -> float:
    """SD at (x, 0) of the noise to add in a water disc: variance of each view's filtered ray, summed over views."""
    angle = torch.arange(scanner.views, dtype=torch.float64) * 2 * math.pi / scanner.views
    distance = scanner.source_to_isocenter_mm
    along, across = distance - x_mm * torch.cos(angle), -x_mm * torch.sin(angle)
    gamma = torch.atan(across / along)
    chord = 2 * (RADIUS_MM**2 - (distance * torch.sin(gamma)) ** 2).clamp_min(0).sqrt()
    photons = calibration.i0_photons * torch.exp(-MU_WATER_PER_MM * chord)
    variance = (1 / dose - 1) / photons + (1 / dose**2 - 1) * detector.electronic_sd**2 / photons**2
    frequency = torch.linspace(0, 0.5 / scanner.bin_mm, 2001, dtype=torch.float64)
    response = frequency * calibration.kernel.at(frequency) / 2
    # Per unit of fan angle, frequencies are distance times as high and the integral distance³ times as large.
    filtered = scanner.bin_rad * 2 * torch.trapezoid(response**2, frequency) * distance**3
    weight = distance**2 * torch.cos(gamma) ** 2 / (along**2 + across**2) ** 2
    total = (2 * math.pi / scanner.views) ** 2 * (weight * variance * filtered).sum()
    return float(total.sqrt()) / MU_WATER_PER_MM * 1000


@pytest.fixture(scope="module")
def water(disc: Callable[..., Tensor]) -> Tensor:
    return disc(RADIUS_MM).expand(24, -1, -1)


@pytest.fixture(scope="module")
def three_doses(simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float]) -> Tensor:
    return simulator.noise(water, spacing, (0.5, 0.25, 0.1), CALIBRATION, seed=7)


def sd_at(noise: Tensor, x_mm: float) -> float:
    column = round(x_mm / 1.2 + 63.5)
    return float(noise[:, 56:72, column - 4 : column + 4].std())


@pytest.mark.parametrize("x_mm", [0.0, 52.0], ids=["centre", "edge"])
def test_quarter_dose_noise_in_water_is_within_5_percent_of_theory(
    three_doses: Tensor, simulator: LowDoseSimulator, scanner: FanBeamGeometry, x_mm: float
) -> None:
    theory = theoretical_sd_hu(scanner, simulator.detector, 0.25, x_mm, CALIBRATION)
    assert math.isclose(sd_at(three_doses[1], x_mm), theory, rel_tol=0.05)


def test_noise_is_larger_at_the_centre_than_at_the_edge(three_doses: Tensor) -> None:
    assert sd_at(three_doses[1], 0.0) > 1.1 * sd_at(three_doses[1], 52.0)


def test_quantum_variance_goes_as_one_over_dose_minus_one(
    scanner: FanBeamGeometry, water: Tensor, spacing: Sequence[float]
) -> None:
    quantum = LowDoseSimulator(scanner, DetectorModel(electronic_sd=0.0))
    doses = (0.7, 0.5, 0.25, 0.1)
    noise = quantum.noise(water[:8], spacing, doses, Calibration(1e6, KERNELS["standard"]), seed=3)
    variance = noise[:, :, 40:88, 40:88].var(dim=(1, 2, 3))
    ratio = variance / torch.tensor([1 / d - 1 for d in doses])
    assert ratio.max() / ratio.min() < 1.02


def test_variance_goes_as_one_over_i0(simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float]) -> None:
    few, many = (
        simulator.noise(water[:8], spacing, 0.25, Calibration(i0, KERNELS["standard"]), seed=3)[:, 40:88, 40:88].var()
        for i0 in (1e5, 4e5)
    )
    assert math.isclose(few / many, 4, rel_tol=0.05)


def test_half_dose_of_half_dose_has_the_noise_of_quarter_dose(
    simulator: LowDoseSimulator, three_doses: Tensor, water: Tensor, spacing: Sequence[float]
) -> None:
    half = three_doses[0]
    of_half = replace(CALIBRATION, i0_photons=I0 / 2)
    again = half + simulator.noise(water + half, spacing, 0.5, of_half, seed=8)
    for x_mm in (0.0, 52.0):
        assert math.isclose(sd_at(again, x_mm), sd_at(three_doses[1], x_mm), rel_tol=0.05)


def test_full_dose_adds_nothing(simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float]) -> None:
    assert simulator.noise(water[:1], spacing, 1.0, CALIBRATION, seed=0).abs().max() < 1e-3


def test_mean_hu_of_tissues_moves_by_less_than_half_a_hu(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]
) -> None:
    inserts = {"lung": (-800.0, (-30.0, 0.0)), "fat": (-100.0, (30.0, 0.0)), "bone": (700.0, (0.0, 30.0))}
    body = disc(RADIUS_MM)
    for hu, center in inserts.values():
        body = body + (disc(14.0, 0.0, center) + 1000) / 1000 * hu
    many_photons = Calibration(2e5, KERNELS["standard"])
    noise = simulator.noise(body.expand(32, -1, -1), spacing, 0.1, many_photons, seed=5)
    for hu, center in [*inserts.values(), (0.0, (0.0, -30.0))]:
        inside = disc(12.0, 0.0, center)[0] == 0
        assert abs(noise[:, inside].mean()) < 0.5, hu


@pytest.mark.parametrize("expected", [3.0, 10.0, 100.0])
def test_few_photons_do_not_shift_the_line_integrals(simulator: LowDoseSimulator, expected: float) -> None:
    """The bare logarithm would shift them by half the relative variance, and more where counts are clipped."""
    z = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    dose = 0.25
    step = _Step(dose, quantum=1 - dose, skew=(1 - dose) * (1 - 2 * dose), electronic=1 - dose**2)
    change = simulator._log_noise(torch.full_like(z, expected / dose), z, step)
    assert abs(change.mean()) < 4 * change.std() / len(z) ** 0.5 + 1e-4


def test_the_same_seed_reproduces_every_bit_and_slabs_equal_the_whole(
    simulator: LowDoseSimulator, three_doses: Tensor, water: Tensor, spacing: Sequence[float]
) -> None:
    slab = simulator.noise(water[5:9], spacing, 0.25, CALIBRATION, seed=7, first_slice=5)
    whole = replace(simulator, slices_at_once=8).noise(water[:12], spacing, 0.25, CALIBRATION, seed=7)
    assert torch.equal(whole, simulator.noise(water[:12], spacing, 0.25, CALIBRATION, seed=7))
    torch.testing.assert_close(slab, three_doses[1, 5:9], atol=1e-2, rtol=0)
    assert not torch.allclose(slab, simulator.noise(water[5:9], spacing, 0.25, CALIBRATION, seed=8), atol=1)


@pytest.mark.parametrize("expected", [4.0, 20.0, 2000.0])
@pytest.mark.parametrize("dose", [0.1, 0.5, 0.8])
def test_counts_follow_thinned_poisson_statistics(expected: float, dose: float) -> None:
    """Thinning N ~ Poisson(λ) to M ~ Binomial(N, d) leaves n = M − dN: compare its first three moments."""
    simulator = LowDoseSimulator(
        FanBeamGeometry(source_to_isocenter_mm=541.0, bin_rad=0.001, views=4, bins=4), DetectorModel(0.0, 1e-9)
    )
    random = torch.Generator().manual_seed(0)
    z = torch.randn(400_000, generator=random)
    step = _Step(dose, quantum=1 - dose, skew=(1 - dose) * (1 - 2 * dose), electronic=1 - dose**2)
    ours = expected * torch.exp(-simulator._log_change(torch.full_like(z, expected), z, step)) - expected
    kept = torch.poisson(torch.full_like(z, expected), generator=random)
    lost = torch.poisson(torch.full_like(z, expected / dose * (1 - dose)), generator=random)
    exact = kept - dose * (kept + lost)
    sd = exact.std()
    assert abs(ours.mean() - exact.mean()) < 0.02 * sd
    assert math.isclose(ours.std(), sd, rel_tol=0.02)
    skew_ours, skew_exact = (((n - n.mean()) / sd).pow(3).mean() for n in (ours, exact))
    assert abs(skew_ours - skew_exact) < 0.05


def test_starved_rays_make_streaks_between_dense_parts_and_never_nan(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]
) -> None:
    shoulders = disc(RADIUS_MM)
    for center in ((-40.0, 0.0), (40.0, 0.0)):
        shoulders = shoulders + (disc(12.0, 0.0, center) + 1000) / 1000 * 6000
    noise = simulator.noise(shoulders.expand(8, -1, -1), spacing, 0.25, Calibration(2e5, KERNELS["standard"]), seed=1)
    assert torch.isfinite(noise).all()
    between, above = noise[:, 60:68, 54:74], noise[:, 20:28, 54:74]
    assert between.std() > 2 * above.std()
    along, across = (between.diff(dim=d).std() for d in (2, 1))
    assert across > 1.5 * along


def test_metal_and_padding_give_finite_noise(simulator: LowDoseSimulator, spacing: Sequence[float]) -> None:
    hu = torch.full((1, 128, 128), -3024.0)
    hu[:, 30:100, 30:100] = 30000.0
    assert torch.isfinite(simulator.noise(hu, spacing, 0.05, CALIBRATION, seed=1)).all()


def test_air_attenuates_like_padding(simulator: LowDoseSimulator, disc: Callable[..., Tensor]) -> None:
    air = disc(40.0)
    padded = torch.where(air == -1000, -3024.0, air)
    torch.testing.assert_close(simulator.line_integrals(padded, 1.2), simulator.line_integrals(air, 1.2))


@pytest.mark.parametrize(("thickness", "step"), [(2.0, 2.0), (1.25, 0.8), (5.0, 2.5), (5.0, 1.5)])
def test_neighbouring_slices_share_noise_by_their_overlap(thickness: float, step: float) -> None:
    weights = torch.tensor(shared_noise_weights(thickness, step), dtype=torch.float64)
    assert torch.isclose(weights.square().sum(), torch.ones((), dtype=torch.float64))
    for lag in range(1, len(weights)):
        correlation = (weights[lag:] * weights[:-lag]).sum()
        assert abs(correlation - max(0.0, 1 - lag * step / thickness)) < 0.01


def test_thick_overlapping_slices_correlate_in_the_image(
    simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float]
) -> None:
    noise = simulator.noise(water, spacing, 0.25, CALIBRATION, seed=2, thickness_mm=4.0)[:, 40:88, 40:88]
    near = (noise[1:] * noise[:-1]).mean() / noise.square().mean()
    far = (noise[2:] * noise[:-2]).mean() / noise.square().mean()
    assert abs(near - 0.5) < 0.03
    assert abs(far) < 0.03


def test_modulated_tube_current_lowers_the_noise_of_an_oblong_body(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]
) -> None:
    oblong = torch.full((8, 128, 128), -1000.0)
    oblong[:, 48:80, 8:120] = 1000.0
    constant, modulated = (
        simulator.noise(oblong, spacing, 0.25, replace(CALIBRATION, tube_current_modulation=exponent), seed=4)
        for exponent in (0.0, 0.5)
    )
    assert modulated[:, 60:68, 60:68].std() < 0.9 * constant[:, 60:68, 60:68].std()


@pytest.mark.parametrize("exponent", [-0.1, 1.1])
def test_modulation_beyond_equal_photons_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match="modulation"):
        replace(CALIBRATION, tube_current_modulation=exponent)


def test_another_kernel_keeps_the_noise_level(
    simulator: LowDoseSimulator, scanner: FanBeamGeometry, water: Tensor, spacing: Sequence[float]
) -> None:
    smooth = CALIBRATION.with_kernel(KERNELS["smooth"], scanner)
    noise = [simulator.scan_noise(water[:8], spacing, c, seed=6)[:, 40:88, 40:88] for c in (CALIBRATION, smooth)]
    assert math.isclose(noise[0].std(), noise[1].std(), rel_tol=0.05)
    assert noise[1].diff(dim=2).std() < 0.8 * noise[0].diff(dim=2).std()


def test_slices_that_are_not_square_get_the_noise_of_their_centred_square(
    simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float]
) -> None:
    oblong = simulator.noise(water[:1, 9:-9], spacing, 0.25, CALIBRATION, seed=1)
    assert oblong.shape == (1, 110, 128)
    # The rows cut off hold air alone.
    square = simulator.noise(water[:1], spacing, 0.25, CALIBRATION, seed=1)
    torch.testing.assert_close(oblong[:, 40:60], square[:, 49:69])


@pytest.mark.parametrize("dose", [0.0, -0.1, 1.5, (0.5, 0.0), ()])
def test_impossible_doses_are_refused(
    simulator: LowDoseSimulator, water: Tensor, spacing: Sequence[float], dose: object
) -> None:
    with pytest.raises(ValueError, match="dose_fraction"):
        simulator.noise(water[:1], spacing, dose, CALIBRATION, seed=0)  # type: ignore[arg-type]


def test_oblong_pixels_are_refused(simulator: LowDoseSimulator, water: Tensor) -> None:
    with pytest.raises(ValueError, match="square"):
        simulator.noise(water[:1], (2.0, 1.0, 1.2), 0.5, CALIBRATION, seed=0)
