"""Low-dose noise for an existing scan: what less tube current would have added, never touching the anatomy.

With λ = I0·e^(−l) photons expected on a ray at the present dose and d the dose fraction, the low-dose scan counts
dλ + n, where n carries only the noise that is not in the scan yet:

    Var n = dλ(1 − d) + σₑ²(1 − d²)

The line integral changes by −ln(1 + n/dλ); for many photons its variance is (1/d − 1)/λ, plus (1/d² − 1)·σₑ²/λ² of
electronic noise. Filtered back projection of that change alone is added to the scan, so nothing is blurred.

Source: Yu et al., J Comput Assist Tomogr 36 (2012) 477, doi 10.1097/RCT.0b013e318258e891; Zeng et al., IEEE Trans
Nucl Sci 62 (2015) 2226, doi 10.1109/TNS.2015.2467219. Derived in docs/explanation/low-dose-simulation.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from med_stylesr.degrade.geometry import FanBeamGeometry, ScanGeometry
from med_stylesr.degrade.kernel import ReconstructionKernel
from med_stylesr.degrade.projector import filtered_back_projection, project

MU_WATER_PER_MM: Final = 0.0193
"""Linear attenuation of water at 70 keV, near the effective energy of a 120 kVp scan. Source: NIST XCOM."""

_COARSE_MM: Final = 1.4
"""Pixel and ray distance of the line integrals: they only set the variance, which varies slowly across rays."""


@dataclass(frozen=True)
class DetectorModel:
    """What a ray suffers besides quantum noise.

    Attributes:
        electronic_sd: electronic noise in photons; its variance is about 10 (Zeng 2015).
        floor_photons: smallest count handed to the logarithm, and smallest expected count; scanners clip likewise.
    """

    electronic_sd: float = math.sqrt(10.0)
    floor_photons: float = 1.0

    def __post_init__(self) -> None:
        if self.electronic_sd < 0 or self.floor_photons <= 0:
            raise ValueError("electronic noise must not be negative and the photon floor must be positive")


@dataclass(frozen=True)
class Calibration:
    """What makes simulated noise look like a scan's own.

    Attributes:
        i0_photons: photons a ray of the unattenuated beam, at the dose the scan has now.
        kernel: apodisation that gives the scan's noise texture.
        noise_sd_hu: noise of the scan as it is, in flat soft tissue; NaN if it was not measured.
        tube_current_modulation: exponent of in-plane modulation: current ∝ exp(exponent · largest line integral of
            the view), mean over views kept. 0 is constant current, 0.5 the least noise for a given dose (Gies et al.,
            Med Phys 26 (1999) 2235), 1 the same number of photons behind the thickest part in every view.
    """

    i0_photons: float
    kernel: ReconstructionKernel
    noise_sd_hu: float = math.nan
    tube_current_modulation: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.i0_photons) and self.i0_photons > 0):
            raise ValueError(f"I0 must be a positive number of photons, not {self.i0_photons}")
        if not 0 <= self.tube_current_modulation <= 1:
            raise ValueError(f"the exponent of modulation must lie in [0, 1], not {self.tube_current_modulation}")

    def with_kernel(self, kernel: ReconstructionKernel, geometry: ScanGeometry) -> Calibration:
        """Same noise SD with the texture of another kernel: I0 changes by the ratio of the kernels' noise power."""
        nyquist = geometry.nyquist_per_mm
        gain = kernel.noise_power(nyquist) / self.kernel.noise_power(nyquist)
        return replace(self, i0_photons=self.i0_photons * gain, kernel=kernel)


@dataclass(frozen=True)
class LowDoseSimulator:
    """Draws the noise that a lower dose would have added to a scan.

    Attributes:
        geometry: scan geometry; its field of view must hold the patient.
        detector: electronic noise and photon floor.
        slices_at_once: slices projected together: more is faster and takes more memory (15 MB a slice).
    """

    geometry: ScanGeometry
    detector: DetectorModel
    slices_at_once: int = field(default=8, kw_only=True)

    def noise(
        self,
        hu: Tensor,
        spacing_mm: Sequence[float],
        dose_fraction: float | Sequence[float],
        calibration: Calibration,
        *,
        seed: int,
        thickness_mm: float | None = None,
        first_slice: int = 0,
    ) -> Tensor:
        """HU to add to a scan of the present dose so that it has `dose_fraction` of it.

        The noise of a slice depends on `seed` and on its number `first_slice + k` alone, so a volume can be worked
        on in slabs. One seed gives each dose of a sequence the same quanta, seen through a different current.

        Args:
            hu: (K, H, W) HU; values below −1000 (padding) count as air.
            spacing_mm: slice, row and column spacing in mm; pixels must be square.
            dose_fraction: one or several target doses, each in (0, 1].
            calibration: photons and kernel of the scan as it is.
            seed: any integer ≥ 0.
            thickness_mm: slice thickness; where it exceeds the slice spacing, neighbouring slices share noise.
                None: no more than the spacing.
            first_slice: number of slice 0 of `hu` within the volume.

        Returns:
            (K, H, W) float32 for one dose, (D, K, H, W) for a sequence; 0 outside the scanner's field of view.

        Raises:
            ValueError: for a dose outside (0, 1], pixels that are not square, or a stack that is not (K, H, W).
        """
        doses = [float(d) for d in (dose_fraction if isinstance(dose_fraction, Sequence) else [dose_fraction])]
        if not doses or not all(0 < d <= 1 for d in doses):
            raise ValueError(f"dose_fraction must lie in (0, 1], not {dose_fraction}")
        steps = [_Step(d, quantum=1 - d, skew=(1 - d) * (1 - 2 * d), electronic=1 - d**2) for d in doses]
        noise = self._draw(hu, spacing_mm, steps, calibration, seed, thickness_mm, first_slice)
        return noise if isinstance(dose_fraction, Sequence) else noise[0]

    def scan_noise(
        self,
        hu: Tensor,
        spacing_mm: Sequence[float],
        calibration: Calibration,
        *,
        seed: int,
        thickness_mm: float | None = None,
        first_slice: int = 0,
    ) -> Tensor:
        """All the noise of a scan at the calibrated dose, for an `hu` that has none (a phantom). See `noise`."""
        whole = _Step(1.0, quantum=1.0, skew=1.0, electronic=1.0)
        return self._draw(hu, spacing_mm, [whole], calibration, seed, thickness_mm, first_slice)[0]

    def line_integrals(self, hu: Tensor, pixel_mm: float) -> Tensor:
        """Coarse line integrals of square slices, interpolated to the full geometry: (K, views, bins)."""
        attenuation = (MU_WATER_PER_MM * (1 + hu.float() / 1000)).clamp_min(0)
        size = hu.shape[-1]
        coarse_size = min(size, max(16, round(size * pixel_mm / _COARSE_MM)))
        coarse = functional.interpolate(attenuation[:, None], size=(coarse_size, coarse_size), mode="area")[:, 0]
        view_factor, bin_factor = _coarsening(self.geometry)
        small = self.geometry.coarsened(view_factor, bin_factor)
        lines = project(coarse, size * pixel_mm / coarse_size, small)
        ends = "circular" if isinstance(self.geometry, FanBeamGeometry) else "replicate"
        around = functional.pad(lines, (0, 0, 1, 1), mode=ends)
        fine = functional.interpolate(
            around[:, None], scale_factor=(view_factor, bin_factor), mode="bilinear", align_corners=False
        )[:, 0]
        return fine[:, view_factor:-view_factor]

    def _draw(
        self,
        hu: Tensor,
        spacing_mm: Sequence[float],
        steps: Sequence[_Step],
        calibration: Calibration,
        seed: int,
        thickness_mm: float | None,
        first_slice: int,
    ) -> Tensor:
        if hu.ndim != 3:
            raise ValueError(f"HU must be (slices, rows, columns), not {tuple(hu.shape)}")
        step_mm, row_mm, pixel_mm = (float(s) for s in spacing_mm)
        if not math.isclose(row_mm, pixel_mm, rel_tol=1e-3):
            raise ValueError(f"pixels must be square, not {row_mm:g} x {pixel_mm:g} mm")
        shares = shared_noise_weights(thickness_mm or step_mm, step_mm)
        height, width = hu.shape[1:]
        size = max(height, width)
        top, left = (size - height) // 2, (size - width) // 2
        square = functional.pad(hu.float(), (left, size - width - left, top, size - height - top), value=-1000.0)

        result = hu.new_empty((len(steps), *hu.shape), dtype=torch.float32)
        for start in range(0, len(square), self.slices_at_once):
            slab = square[start : start + self.slices_at_once]
            lines = self.line_integrals(slab, pixel_mm)
            photons = calibration.i0_photons * _modulated(lines, calibration.tube_current_modulation)
            quanta = list(_shared_normals(lines, shares, seed, first_slice + start))
            for s, step in enumerate(steps):
                change = torch.stack([self._log_noise(p, q, step) for p, q in zip(photons, quanta, strict=True)])
                image = filtered_back_projection(change, size, pixel_mm, self.geometry, calibration.kernel)
                image = image[:, top : top + height, left : left + width]
                result[s, start : start + len(slab)] = image * (1000.0 / MU_WATER_PER_MM)
        return result

    def _log_noise(self, photons: Tensor, normal: Tensor, step: _Step) -> Tensor:
        """Change of the line integrals of one slice, (views, bins), of zero mean.

        Counts follow their distribution to the third cumulant κ₃ (Cornish-Fisher): n = σz + κ₃/(6σ²)·(z² − 1).
        The logarithm's own bias, E[−ln(1 + n/dλ)] ≈ Var/2, is taken off as scanners do.
        """
        floor = self.detector.floor_photons
        expected = (photons * step.current).clamp_min(floor)
        grid = torch.linspace(math.log(floor), max(math.log(floor) + 1, float(expected.max().log())), 256)
        z = torch.linspace(-6, 6, 241)
        density = torch.exp(-z.square() / 2)
        bias_table = (self._log_change(grid.exp()[:, None], z, step) * density).sum(1) / density.sum()
        place = (expected.log() - grid[0]) / (grid[1] - grid[0])
        left = place.to(torch.int32).clamp(0, len(grid) - 2)
        bias_table = bias_table.to(expected.device)
        low, high = bias_table[left], bias_table[left + 1]
        return self._log_change(expected, normal, step) - torch.lerp(low, high, place - left)

    def _log_change(self, expected: Tensor, z: Tensor, step: _Step) -> Tensor:
        """−ln of the counted over the expected photons, for standard normal `z`."""
        variance = expected * step.quantum + self.detector.electronic_sd**2 * step.electronic
        skewed = expected * (step.skew / 6) / variance.clamp_min(1e-12) * (z.square() - 1)
        counted = expected + variance.sqrt() * z + skewed
        return -torch.log(counted.clamp_min(self.detector.floor_photons) / expected)


def _modulated(lines: Tensor, exponent: float) -> Tensor:
    """Transmission of each ray times the relative tube current of its view."""
    transmission = torch.exp(-lines)
    if not exponent:
        return transmission
    thickest = lines.amax(dim=2, keepdim=True)
    current = torch.exp(exponent * (thickest - thickest.amax(dim=1, keepdim=True)))
    return transmission * (current / current.mean(dim=1, keepdim=True))


@dataclass(frozen=True)
class _Step:
    """What noise is added, as multiples of the expected counts dλ (quantum) and of σₑ² (electronic)."""

    current: float
    quantum: float
    skew: float
    electronic: float


def shared_noise_weights(thickness_mm: float, step_mm: float) -> list[float]:
    """Weights w, Σw² = 1, that mix independent noise so that slices correlate by the overlap of their profiles.

    Slices of rectangular profile, m steps apart, share max(0, 1 − m·step/thickness) of their photons. The weights are
    the minimum-phase factor of that autocorrelation (Kolmogorov's method: the causal half of the cepstrum).

    Args:
        thickness_mm: slice thickness.
        step_mm: distance of slices.

    Returns:
        ⌈thickness/step⌉ weights, `[1.0]` where slices do not overlap.

    >>> shared_noise_weights(2.0, 2.0)
    [1.0]

    Raises:
        ValueError: if a length is not positive.
    """
    if thickness_mm <= 0 or step_mm <= 0:
        raise ValueError("slice thickness and spacing must be positive")
    ratio = thickness_mm / step_mm
    count = math.ceil(ratio - 1e-6)
    if count <= 1:
        return [1.0]
    size = 1 << 14
    lag = np.minimum(np.arange(size), size - np.arange(size))
    power = np.fft.fft(np.clip(1 - lag / ratio, 0, None)).real.clip(1e-9)
    cepstrum = np.fft.ifft(np.log(power) / 2).real
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    weights = np.fft.ifft(np.exp(np.fft.fft(cepstrum))).real[:count]
    return [float(w) for w in weights / np.sqrt(np.sum(weights**2))]


def _shared_normals(like: Tensor, shares: Sequence[float], seed: int, first: int) -> Iterator[Tensor]:
    """Standard normals of each slice of `like`: the mix of its own and the following slabs' independent draws."""
    slabs: deque[Tensor] = deque(maxlen=len(shares))
    for number in range(first, first + len(like) + len(shares) - 1):
        state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0]
        generator = torch.Generator(device=like.device).manual_seed(int(state) >> 1)
        slabs.append(torch.randn(like.shape[1:], generator=generator, device=like.device))
        if len(slabs) == len(shares):
            yield torch.stack([w * slab for w, slab in zip(shares, slabs, strict=True)]).sum(0)


def _coarsening(geometry: ScanGeometry) -> tuple[int, int]:
    """Largest factors for views and bins that keep rays within `_COARSE_MM` and about 160 views a span."""
    turns = geometry.quarter_turns
    views = max(f for f in range(1, 9) if geometry.views % (f * turns) == 0 and (f == 1 or geometry.views // f >= 160))
    bins = max(f for f in range(1, 9) if geometry.bins % f == 0 and (f == 1 or f * geometry.bin_mm <= 1.3 * _COARSE_MM))
    return views, bins
