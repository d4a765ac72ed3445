"""Kernels and the texture of the noise behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from med_stylesr.degrade.dose import Calibration, LowDoseSimulator
from med_stylesr.degrade.kernel import KERNELS, ReconstructionKernel, from_nps

PIXEL_MM = 1.2


@pytest.fixture(scope="module")
def noise_nps(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]
) -> Callable[[ReconstructionKernel], tuple[Tensor, Tensor]]:
    """Radial NPS of simulated noise in the middle of a water disc, below the image's Nyquist frequency."""

    def nps(kernel: ReconstructionKernel) -> tuple[Tensor, Tensor]:
        water = disc(60.0).expand(16, -1, -1)
        noise = simulator.scan_noise(water, spacing, Calibration(1e5, kernel), seed=1)[:, 32:96, 32:96].double()
        window = torch.hann_window(64, dtype=torch.float64)
        power = (torch.fft.fft2(noise * window * window[:, None]).abs() ** 2).mean(0)
        cycles = torch.fft.fftfreq(64, dtype=torch.float64) * 64
        ring = torch.hypot(cycles, cycles[:, None]).round().long().flatten()
        radial = torch.bincount(ring, power.flatten()) / torch.bincount(ring)
        return torch.arange(1, 32, dtype=torch.float64) / (64 * PIXEL_MM), radial[1:32]

    return nps


@pytest.mark.parametrize(("f50", "order"), [(0.16, 2.0), (0.22, 2.5), (0.28, 3.0)])
def test_noise_peaks_where_the_kernel_says(noise_nps, f50: float, order: float) -> None:
    """NPS ∝ f·A²: for A = 2^(−(f/f50)^p) its peak lies at f50·(1/(2p·ln 2))^(1/p)."""
    frequency, power = noise_nps(ReconstructionKernel.rolled_off(f50, order))
    expected = f50 * (1 / (2 * order * math.log(2))) ** (1 / order)
    # The peak from a smooth fit: ln(NPS/f) = 2 ln A is a low polynomial in f where there is noise at all.
    loud = power > 0.05 * power.max()
    powers = torch.arange(5, dtype=torch.float64)
    known = frequency[loud, None] ** powers
    fit = torch.linalg.lstsq(known, (power / frequency).log()[loud, None]).solution
    fine = torch.linspace(float(frequency[0]), float(frequency[loud][-1]), 2000, dtype=torch.float64)
    fitted = fine.log() + (fine[:, None] ** powers @ fit)[:, 0]
    assert math.isclose(fine[fitted.argmax()], expected, rel_tol=0.10)


def test_ramp_noise_rises_with_frequency_up_to_the_cut_off(noise_nps) -> None:
    cut_off = 0.35
    frequency, power = noise_nps(ReconstructionKernel("cut ramp", (0.0, cut_off), (1.0, 1.0)))
    inside = frequency < cut_off - 0.03
    slope = torch.linalg.lstsq(
        torch.stack([torch.ones_like(frequency), frequency.log()], 1)[inside], power.log()[inside, None]
    ).solution[1]
    assert math.isclose(slope, 1.0, abs_tol=0.12)
    assert math.isclose(frequency[power.argmax()], cut_off, rel_tol=0.10)
    assert power[frequency > cut_off + 0.05].max() < 0.05 * power.max()


def test_softer_kernels_have_coarser_noise(noise_nps) -> None:
    means = []
    for name in ("smooth", "soft", "standard"):
        frequency, power = noise_nps(KERNELS[name])
        means.append(float((frequency * power).sum() / power.sum()))
    assert means == sorted(means)


def test_a_kernel_read_off_its_own_noise_spectrum_is_itself() -> None:
    kernel = ReconstructionKernel.rolled_off(0.3, 2.5, boost=0.5)
    frequency = torch.linspace(0.02, 0.7, 60, dtype=torch.float64)
    again = from_nps("again", frequency.tolist(), kernel.nps(frequency).tolist())
    torch.testing.assert_close(again.at(frequency), kernel.at(frequency), atol=0.01, rtol=0)


def test_a_kernel_leaves_slow_variations_alone() -> None:
    for kernel in KERNELS.values():
        assert kernel.at(torch.zeros(1, dtype=torch.float64)).item() == 1.0


@pytest.mark.parametrize(
    ("frequency", "response"),
    [((0.0,), (1.0,)), ((0.1, 0.2), (1.0, 0.5)), ((0.0, 0.5), (1.0, -0.1)), ((0.0, 1.0), (1.0,))],
)
def test_tables_that_are_no_kernel_are_refused(frequency: tuple[float, ...], response: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="kernel"):
        ReconstructionKernel("broken", frequency, response)


def test_silence_has_no_kernel() -> None:
    with pytest.raises(ValueError, match="positive"):
        from_nps("silent", [0.1, 0.2], [0.0, 0.0])
