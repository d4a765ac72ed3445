"""Reconstruction kernels: how the ramp of filtered back projection is rolled off, from soft to sharp.

The texture of CT noise follows the kernel: for many views NPS(f) ∝ f · A(f)², A being the apodisation of the ramp
(Riederer, Pelc and Chesler, Phys Med Biol 23 (1978) 446, doi 10.1088/0031-9155/23/3/008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ReconstructionKernel:
    """Apodisation A(f) of the ramp, tabulated and linear in between.

    Attributes:
        name: what a person calls it.
        frequency_per_mm: increasing frequencies in 1/mm at the isocentre, starting at 0.
        response: A at those frequencies, A(0) = 1; above the last one A is 0 unless the last value continues
            (`continues`).
        continues: whether A keeps its last value up to the detector's Nyquist frequency.

    Raises:
        ValueError: for tables of different lengths, frequencies that do not increase from 0, or negative responses.
    """

    name: str
    frequency_per_mm: tuple[float, ...]
    response: tuple[float, ...]
    continues: bool = False

    def __post_init__(self) -> None:
        frequency = np.asarray(self.frequency_per_mm)
        if len(frequency) != len(self.response) or len(frequency) < 2:
            raise ValueError("a kernel needs as many responses as frequencies, at least two")
        if frequency[0] != 0 or (np.diff(frequency) <= 0).any() or min(self.response) < 0:
            raise ValueError("kernel frequencies must increase from 0, responses must not be negative")

    @classmethod
    def ramp(cls) -> ReconstructionKernel:
        """The bare ramp (Ram-Lak): exact and noisiest."""
        return cls("ramp", (0.0, 1.0), (1.0, 1.0), continues=True)

    @classmethod
    def rolled_off(
        cls, f50_per_mm: float, order: float, boost: float = 0.0, name: str | None = None
    ) -> ReconstructionKernel:
        """Family of kernels A(f) = (1 + boost·(f/f50)²) · 2^(−(f/f50)^order), soft to sharp and edge-enhancing.

        Args:
            f50_per_mm: frequency in 1/mm at which the roll-off has halved (0.2 very soft … 0.9 very sharp).
            order: steepness; 2 is Gaussian, larger is steeper.
            boost: edge enhancement, 0 for none; lung and bone kernels lift mid frequencies above 1.
            name: defaults to the parameters.

        Returns:
            The kernel, tabulated up to where it has fallen to nothing.
        """
        if f50_per_mm <= 0 or order <= 0 or boost < 0:
            raise ValueError("f50 and order must be positive, boost not negative")
        reach = f50_per_mm * math.log2(1e4) ** (1 / order)
        frequency = np.linspace(0.0, reach, 129)
        ratio = frequency / f50_per_mm
        response = (1 + boost * ratio**2) * 2.0 ** -(ratio**order)
        label = name or f"f50={f50_per_mm:.2f}/mm order={order:.1f} boost={boost:.1f}"
        return cls(label, tuple(frequency.tolist()), tuple(response.tolist()))

    def at(self, frequency_per_mm: Tensor) -> Tensor:
        """A at frequencies in 1/mm, same shape, type and device."""
        known = torch.tensor(self.frequency_per_mm, device=frequency_per_mm.device, dtype=frequency_per_mm.dtype)
        value = torch.tensor(self.response, device=known.device, dtype=known.dtype)
        right = torch.searchsorted(known, frequency_per_mm.contiguous()).clamp(1, len(known) - 1)
        share = ((frequency_per_mm - known[right - 1]) / (known[right] - known[right - 1])).clamp(0, 1)
        inside = torch.lerp(value[right - 1], value[right], share)
        return inside if self.continues else torch.where(frequency_per_mm > known[-1], torch.zeros_like(inside), inside)

    def noise_power(self, nyquist_per_mm: float) -> float:
        """Variance that white detector noise has behind the kernel, ∝ ∫ f² A(f)² df up to the detector's Nyquist."""
        frequency = torch.linspace(0, nyquist_per_mm, 513, dtype=torch.float64)
        return float(torch.trapezoid((frequency * self.at(frequency)) ** 2, frequency))

    def nps(self, frequency_per_mm: Tensor) -> Tensor:
        """Shape of the radial noise power spectrum behind the kernel, f · A(f)², without unit."""
        return frequency_per_mm * self.at(frequency_per_mm) ** 2


KERNELS: dict[str, ReconstructionKernel] = {
    kernel.name: kernel
    for kernel in (
        ReconstructionKernel.ramp(),
        ReconstructionKernel.rolled_off(0.22, 2.0, name="smooth"),
        ReconstructionKernel.rolled_off(0.35, 2.5, name="soft"),
        ReconstructionKernel.rolled_off(0.48, 3.0, name="standard"),
        ReconstructionKernel.rolled_off(0.55, 3.0, boost=1.0, name="sharp"),
        ReconstructionKernel.rolled_off(0.65, 3.5, boost=2.0, name="lung"),
    )
}
"""Kernels by name. Generic members of the family, none is a vendor's: match one to a scan with `dose.calibrate`."""


def from_nps(name: str, frequency_per_mm: Sequence[float], nps: Sequence[float]) -> ReconstructionKernel:
    """Kernel whose noise has a given radial power spectrum: A(f) = sqrt(NPS(f) / f), scaled so that A(0) = 1.

    Args:
        name: what to call it.
        frequency_per_mm: increasing frequencies > 0 in 1/mm. The first ones set A below them.
        nps: radial noise power at those frequencies, any unit.

    Raises:
        ValueError: if the power is not positive anywhere.
    """
    frequency, power = np.asarray(frequency_per_mm, dtype=np.float64), np.asarray(nps, dtype=np.float64)
    amplitude = np.sqrt(np.clip(power, 0, None) / frequency)
    if not amplitude.max() > 0:
        raise ValueError("a noise power spectrum must be positive somewhere")
    start = amplitude[0] if amplitude[0] > 0 else amplitude.max()
    amplitude = np.concatenate([[1.0], amplitude / start, [0.0]])
    step = frequency[-1] - frequency[-2]
    return ReconstructionKernel(
        name, (0.0, *map(float, frequency), float(frequency[-1] + step)), tuple(map(float, amplitude))
    )
