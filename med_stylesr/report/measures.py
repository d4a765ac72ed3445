"""What is measured on a scan before and after enhancement, once, for every report about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.bias import TissueShift, masked_shift
from med_stylesr.metrics.hallucination import oddity_map, structure_loss
from med_stylesr.metrics.noise_model import NoiseModel
from med_stylesr.metrics.regions import Roi, body_mask, flat_rois, spread_indices, tissue_masks
from med_stylesr.metrics.resolution import TransferFunction, ttf_from_skin
from med_stylesr.metrics.texture import (
    NoisePowerSpectrum,
    RadialProfile,
    band_power_ratio,
    noise_power_spectrum,
    noise_sd,
    radial_profile,
)
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.volume import CTVolume

ROI_MM = 22.0
"""Edge of the regions for noise spectra: 32 pixels of 0.7 mm."""
ROI_COUNT = 40
SLICES = 16
"""Slices that HU shifts and unusual changes are measured on, spread over the scan: enough for 0.1 HU, few and quick."""
EDGE_SLICES = 6
"""Slices whose skin sharpness is measured on."""
STRUCTURE_SLICES = 6
"""Neighbouring slices, in the middle of the scan, that the removed structure is looked for in."""
ODD_Z = 5.0
"""Standard deviations from which a change counts as unusual."""
AT_ONCE: Final = 2
"""Parts measured at the same time: filters run outside the interpreter's lock, and no other core has work by then."""

LEAST_SHARED: Final = 0.1
"""Correlation of a change with the scan's own variation in flat regions, below which it is no removal of noise.

Noise that is added, or nothing at all, gives about 0.01; removing noise gives the share of the variation that is noise.
"""


@dataclass(frozen=True)
class PairMeasures:
    """Figures of a scan before and after.

    Attributes:
        noise_before_hu: noise standard deviation of the input, told from anatomy by what was removed (see
            `metrics.noise_model`); None without soft tissue to measure in.
        noise_after_hu: that of the result, at the resolution of the input.
        shifts: HU shift a tissue class.
        rois: regions of the spectra, in the input's grid.
        nps_before: radial noise power spectrum of the input; None without flat regions.
        nps_after: that of the result.
        bands: noise power after over before, a frequency band at a time.
        ttf_before: transfer function of the input at the skin; None without clean skin.
        ttf_after: that of the result.
        structure_loss: anatomy that was changed, relative to a blur of one pixel; None where slices cannot tell.
        odd_share: share of the body where the change exceeds five standard deviations; None without body.
        oddest: slice with the most such places.
    """

    noise_before_hu: float | None
    noise_after_hu: float | None
    shifts: dict[str, TissueShift]
    rois: list[Roi]
    nps_before: RadialProfile | None
    nps_after: RadialProfile | None
    bands: dict[str, float]
    ttf_before: TransferFunction | None
    ttf_after: TransferFunction | None
    structure_loss: float | None
    odd_share: float | None
    oddest: int

    @property
    def f50_per_mm(self) -> tuple[float, float] | None:
        """Frequencies at which the transfer at the skin is one half, before and after; None where not measurable."""
        if self.ttf_before is None or self.ttf_after is None:
            return None
        before, after = self.ttf_before.frequency_at(0.5), self.ttf_after.frequency_at(0.5)
        return (before, after) if np.isfinite(before) and np.isfinite(after) else None

    @property
    def worst_shift(self) -> tuple[str, float] | None:
        """Tissue class and value of the largest HU shift."""
        if not self.shifts:
            return None
        name = max(self.shifts, key=lambda n: abs(self.shifts[n].shift_hu))
        return name, self.shifts[name].shift_hu


def measure_pair(pair: AlignedPair, known_noise_hu: float | None = None) -> PairMeasures:
    """Measure noise, spectra and HU shifts of a scan before and after.

    Args:
        pair: before is first, after second.
        known_noise_hu: noise of the scan before, if something else has measured it: the same number then stands
            everywhere, and noise after is what was measured relative to it.
    """
    before = pair.first
    chosen = spread_indices(before.hu.shape[0], SLICES)
    x = np.stack([before.hu[k] for k in chosen]).astype(np.float32)
    y = np.stack([pair.common(k) for k in chosen])
    covered = np.isfinite(y)
    filled = np.where(covered, y, x)
    edges = spread_indices(before.hu.shape[0], EDGE_SLICES)
    # The longest first.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        odd = pool.submit(_oddities, x, filled, before.spacing_mm, chosen)
        spectra = pool.submit(_spectra, pair)
        noise = pool.submit(_noise, before, pair.second, x, filled, known_noise_hu)
        shifts = pool.submit(_shifts, x, np.where(covered, y, 0), covered, before.spacing_mm)
        fine = np.stack([pair.fine(k) for k in edges])
        ttf_before = pool.submit(_ttf, before.hu, before.spacing_mm, edges)
        ttf_after = pool.submit(_ttf, fine, (1.0, *pair.pixel_mm), list(range(len(edges))))
        structure = pool.submit(_structure_loss, pair)
    rois, first, second = spectra.result()
    return PairMeasures(
        *noise.result(),
        shifts.result(),
        rois,
        radial_profile(first) if first else None,
        radial_profile(second) if second else None,
        band_power_ratio(second, first) if first and second else {},
        ttf_before.result(),
        ttf_after.result(),
        structure.result(),
        *odd.result(),
    )


def _shifts(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    covered: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> dict[str, TissueShift]:
    masks = {name: mask & covered for name, mask in tissue_masks(before, spacing_mm).items()}
    return masked_shift(before, after, masks)


def _noise(
    before: CTVolume, after: CTVolume, x: NDArray[Any], y: NDArray[Any], known_hu: float | None
) -> tuple[float | None, float | None]:
    """Noise of some slices before and after.

    By what was removed where noise was removed; where something else was done to the scan (nothing, noise added), that
    tells nothing, and each scan's own estimate counts, structure included.
    """
    model = NoiseModel.fit(x, y - x, before.spacing_mm)
    if model is None or model.correlation < LEAST_SHARED:
        return noise_or_none(before), noise_or_none(after)
    left = model.left_by(y - x)(1.0)
    return (model.noise_hu, left) if known_hu is None else (known_hu, left * known_hu / model.noise_hu)


def noise_or_none(volume: CTVolume) -> float | None:
    """Noise standard deviation in HU, or None where there is no soft tissue to measure it in."""
    try:
        return noise_sd(volume.hu, volume.spacing_mm)
    except ValueError:
        return None


def _spectra(pair: AlignedPair) -> tuple[list[Roi], NoisePowerSpectrum | None, NoisePowerSpectrum | None]:
    """Flat regions of the first scan, and the spectra of both there."""
    f = pair.factor
    rois = flat_rois(pair.first.hu, pair.first.spacing_mm, size_mm=ROI_MM, count=ROI_COUNT)
    planes: dict[int, NDArray[np.float32]] = {k: pair.fine(k) for k in {roi.slice for roi in rois}}
    first, second = [], []
    for roi in rois:
        fine = planes[roi.slice][roi.row * f : (roi.row + roi.size) * f, roi.column * f : (roi.column + roi.size) * f]
        if np.isfinite(fine).all():
            first.append(roi.cut(pair.first.hu))
            second.append(fine)
    if not first:
        return rois, None, None
    return (
        rois,
        noise_power_spectrum(first, pair.first.spacing_mm[1:]),
        noise_power_spectrum(second, pair.pixel_mm),
    )


def _ttf(hu: NDArray[Any], spacing_mm: tuple[float, float, float], slices: list[int]) -> TransferFunction | None:
    try:
        return ttf_from_skin(hu, spacing_mm, slices=slices)
    except ValueError:
        return None


def _structure_loss(pair: AlignedPair) -> float | None:
    total = pair.first.hu.shape[0]
    start = max(0, (total - STRUCTURE_SLICES) // 2)
    chosen = range(start, min(total, start + STRUCTURE_SLICES))
    before = np.stack([pair.first.hu[k] for k in chosen]).astype(np.float32)
    after = np.stack([pair.common(k) for k in chosen])
    covered = np.isfinite(after)
    body = body_mask(before) & covered
    share = structure_loss(before, np.where(covered, after, before), pair.first.spacing_mm, body)
    return share if np.isfinite(share) else None


def _oddities(
    before: NDArray[np.float32], after: NDArray[np.float32], spacing_mm: tuple[float, float, float], chosen: list[int]
) -> tuple[float | None, int]:
    body = body_mask(before)
    if not body.any():
        return None, chosen[len(chosen) // 2]
    odd = np.abs(oddity_map(before, after, spacing_mm, body)) > ODD_Z
    return float(odd.sum() / body.sum()), chosen[int(odd.sum(axis=(1, 2)).argmax())]
