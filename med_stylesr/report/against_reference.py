"""Everything that is measured on a scan when its normal-dose reference is there, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.hu import HU_MIN
from med_stylesr.metrics.bias import masked_shift
from med_stylesr.metrics.detectability import TASK_CONTRASTS_HU, TASK_DIAMETERS_MM, Task, npw_detectability
from med_stylesr.metrics.distribution import nps_cosine
from med_stylesr.metrics.fidelity import CONVENTIONS, volume_fidelity
from med_stylesr.metrics.hallucination import residual_structure_index, scanning_ring_correlation, structure_loss
from med_stylesr.metrics.perceptual import perceptual
from med_stylesr.metrics.radiomics import features
from med_stylesr.metrics.regions import Roi, body_mask, flat_rois, spread_indices, tissue_masks
from med_stylesr.metrics.resolution import TransferFunction, edge_width_through_plane, ttf_from_skin
from med_stylesr.metrics.statistics import bootstrap_mean, concordance
from med_stylesr.metrics.texture import RadialProfile, band_power_ratio, noise_power_spectrum, radial_profile
from med_stylesr.report import ct_features
from med_stylesr.report.aligned import AlignedPair, common_window
from med_stylesr.report.measures import ROI_COUNT, ROI_MM, noise_or_none
from med_stylesr.volume import CTVolume

BLOCK: Final = 8
"""Slices that are resampled together in intervals: neighbours resemble each other."""
FRC_BOX: Final = 48
FRC_THRESHOLD: Final = 0.5
FRC_BELOW_PER_MM: Final = 0.15
"""A box that shares less than half with the reference below this frequency is flagged: details of 3 mm and more."""
PADDING_BELOW_HU: Final = -1500.0
"""No noise reaches this low; -2000 and -3024 are marks for outside the field of view."""
RADIOMIC_BIN_HU: Final = 10.0

_Cuts: TypeAlias = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Flat regions of the reference and the image's of the same places."""


@dataclass(frozen=True)
class Case:
    """One scan measured against its reference.

    Attributes:
        figures: the whole result as JSON-able values (see docs/reference/metrics-schema.json).
        per_slice: figure → value of every slice that was measured, for intervals and tests.
        spectra: "reference" and "image" radial noise power spectra, empty without flat regions.
        transfers: likewise transfer functions at the skin.
    """

    figures: dict[str, Any]
    per_slice: dict[str, NDArray[np.float64]]
    spectra: dict[str, RadialProfile]
    transfers: dict[str, TransferFunction]


def measure_case(
    image: CTVolume,
    reference: CTVolume,
    source: CTVolume | None,
    *,
    max_slices: int,
    rois: Sequence[Roi] | None = None,
) -> Case:
    """Measure one scan against its reference, on the reference's positions.

    Args:
        image: the result of a method, or the low-dose scan itself.
        reference: the normal-dose scan.
        source: the low-dose scan the result was made from: adds the structure in what was removed.
        max_slices: slices used for fidelity, spread over the scan; 0 for all. Other figures use as many as they need.
        rois: regions of the reference, all of one size, for noise spectra and radiomics; found in flat tissue if None.

    Raises:
        InputError: if a region lies outside the reference, or both share too little of a place.
    """
    pair = AlignedPair(reference, image)
    total = reference.hu.shape[0]
    chosen = spread_indices(total, max_slices or total)
    x, y, covered = _stack(pair, chosen)
    window = common_window(covered)
    masks = {name: mask[window] for name, mask in tissue_masks(y, reference.spacing_mm).items()}
    x, y, body = x[window], y[window], body_mask(y)[window]
    per_slice = _fidelity(x, y, body)
    cuts = _cuts(pair, rois)
    spectra, texture = _texture(pair, cuts)
    transfers, sharpness = _sharpness(pair)
    width = reference.hu.shape[2] * reference.spacing_mm[2]
    figures: dict[str, Any] = {
        "slices": len(x),
        "coverage": round(float(covered.mean()), 4),
        "fidelity": {
            key: bootstrap_mean(values, block=BLOCK)._asdict() | {"per_slice": values.tolist()}
            for key, values in per_slice.items()
        },
        "texture": texture,
        "sharpness": sharpness,
        "bias": {
            name: {
                "voxels": s.voxels,
                "reference_hu": s.before_hu,
                "image_hu": s.after_hu,
                "shift_hu": s.shift_hu,
                "standard_error_hu": s.standard_error_hu,
            }
            for name, s in masked_shift(y, x, masks).items()
        },
        "detectability": _detectability(spectra, transfers, width),
        "hallucination": _hallucination(pair, source, x, y, body),
        "radiomics_ccc": _radiomics(cuts, pair.factor),
        "distribution": _distribution(x, y, body),
    }
    return Case(figures, per_slice, spectra, transfers)


def _stack(pair: AlignedPair, chosen: list[int]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Image and reference on the reference's pixels, equal where the image covers nothing; and where it does."""
    y = np.stack([pair.first.hu[k] for k in chosen]).astype(np.float32)
    x = np.stack([pair.common(k) for k in chosen])
    # Padding marks are no HU: both sides get the same air. Noise below -1024 stays, clipping it would be a bias.
    padded = (y < PADDING_BELOW_HU) | (x < PADDING_BELOW_HU)
    y[padded] = x[padded] = HU_MIN
    covered = np.isfinite(x)
    return np.where(covered, x, y), y, covered


def _fidelity(
    x: NDArray[np.float32], y: NDArray[np.float32], body: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    table = {
        f"{convention}.{name}": values
        for convention, columns in volume_fidelity(x, y, body).items()
        for name, values in columns.items()
    }
    rows = [perceptual(p, r, CONVENTIONS["redcnn"]) for p, r in zip(x, y, strict=True)]
    table |= {f"redcnn.{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    return table


def _texture(pair: AlignedPair, cuts: _Cuts) -> tuple[dict[str, RadialProfile], dict[str, Any]]:
    reference, f = pair.first, pair.factor
    table: dict[str, Any] = {
        "noise_sd_hu": noise_or_none(pair.second),
        "reference_noise_sd_hu": noise_or_none(reference),
        "regions": 0,
    }
    if not cuts:
        return {}, table
    own = noise_power_spectrum([fine for _, fine in cuts], pair.pixel_mm)
    normal = noise_power_spectrum([flat for flat, _ in cuts], reference.spacing_mm[1:])
    spectra = {"image": radial_profile(own), "reference": radial_profile(normal)}
    table |= {
        "regions": len(cuts),
        "roi_noise_sd_hu": own.noise_sd_hu,
        "reference_roi_noise_sd_hu": normal.noise_sd_hu,
        "band_power_ratio": band_power_ratio(own, normal),
        "cosine": nps_cosine(spectra["image"], spectra["reference"]),
        "pixels_per_reference_pixel": f,
    }
    for name, profile in spectra.items():
        table[f"{name}_mean_per_mm"] = profile.mean_per_mm
        table[f"{name}_peak_per_mm"] = profile.peak_per_mm
    return spectra, table


def _cuts(pair: AlignedPair, given: Sequence[Roi] | None) -> _Cuts:
    """Given regions, or flat ones found on the reference, cut out of the reference and of the image."""
    slices, rows, columns = pair.first.hu.shape
    for roi in given or ():
        if roi.slice >= slices or roi.row + roi.size > rows or roi.column + roi.size > columns:
            what = f"region {roi.slice + 1},{roi.row},{roi.column},{roi.size}"
            raise InputError(what, f"lies outside the reference of {slices} slices, {rows} x {columns} pixels")
    rois = given or flat_rois(pair.first.hu, pair.first.spacing_mm, size_mm=ROI_MM, count=ROI_COUNT)
    f = pair.factor
    planes = {k: pair.fine(k)[None] for k in {roi.slice for roi in rois}}
    cuts = []
    for roi in rois:
        fine = Roi(0, roi.row * f, roi.column * f, roi.size * f).cut(planes[roi.slice])
        if np.isfinite(fine).all():
            cuts.append((roi.cut(pair.first.hu), fine))
    return cuts


def _sharpness(pair: AlignedPair) -> tuple[dict[str, TransferFunction], dict[str, Any]]:
    chosen = spread_indices(pair.first.hu.shape[0], 12)
    stacks = {
        "reference": (np.stack([pair.first.hu[k] for k in chosen]), pair.first.spacing_mm),
        "image": (np.stack([pair.fine(k) for k in chosen]), (pair.first.spacing_mm[0], *pair.pixel_mm)),
    }
    transfers: dict[str, TransferFunction] = {}
    table: dict[str, Any] = {
        "image_edge_width_through_plane_mm": edge_width_through_plane(pair.second.hu, pair.second.spacing_mm),
        "reference_edge_width_through_plane_mm": edge_width_through_plane(pair.first.hu, pair.first.spacing_mm),
    }
    for name, (hu, spacing) in stacks.items():
        try:
            transfers[name] = ttf_from_skin(hu, spacing, slices=list(range(len(chosen))))
        except ValueError:
            continue
        table[f"{name}_f50_per_mm"] = transfers[name].frequency_at(0.5)
        table[f"{name}_f10_per_mm"] = transfers[name].frequency_at(0.1)
    return transfers, table


def _detectability(
    spectra: dict[str, RadialProfile], transfers: dict[str, TransferFunction], width_mm: float
) -> list[dict[str, float]]:
    """d′ of the standard tasks for the image and the reference, and their ratio."""
    if set(spectra) & set(transfers) != {"image", "reference"}:
        return []
    rows = []
    for diameter in TASK_DIAMETERS_MM:
        for contrast in TASK_CONTRASTS_HU:
            task = Task(diameter, contrast)
            own, normal = (
                npw_detectability(task, transfers[name], spectra[name], field_of_view_mm=width_mm)
                for name in ("image", "reference")
            )
            rows.append(
                {
                    "diameter_mm": diameter,
                    "contrast_hu": contrast,
                    "image": own,
                    "reference": normal,
                    "ratio": own / normal,
                }
            )
    return rows


def _hallucination(
    pair: AlignedPair,
    source: CTVolume | None,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    body: NDArray[np.bool_],
) -> dict[str, Any]:
    pixel = pair.first.spacing_mm[1:]
    boxes = [
        box
        for k in spread_indices(len(x), 12)
        for box in scanning_ring_correlation(
            x[k], y[k], pixel, box=FRC_BOX, threshold=FRC_THRESHOLD, below_per_mm=FRC_BELOW_PER_MM, body=body[k]
        )
    ]
    table: dict[str, Any] = {
        "frc_boxes": len(boxes),
        "frc_flagged": sum(box.flagged for box in boxes),
        "frc_median_cutoff_per_mm": float(np.median([box.cutoff_per_mm for box in boxes])) if boxes else None,
    }
    total = pair.first.hu.shape[0]
    start = max(0, (total - 6) // 2)
    middle = range(start, min(total, start + 6))
    if source is not None and source is not pair.second and len(middle) >= 3:
        before = AlignedPair(pair.first, source)
        low, result = (np.stack([p.common(k) for k in middle]) for p in (before, pair))
        covered = np.isfinite(low) & np.isfinite(result)
        low, result = (np.where(covered, a, 0).astype(np.float32) for a in (low, result))
        inside = body_mask(np.stack([pair.first.hu[k] for k in middle])) & covered
        table["residual_structure"] = residual_structure_index(low, result, pair.first.spacing_mm, inside)
        table["structure_loss"] = structure_loss(low, result, pair.first.spacing_mm, inside)
    return table


def _distribution(x: NDArray[np.float32], y: NDArray[np.float32], body: NDArray[np.bool_]) -> dict[str, Any] | None:
    shown = spread_indices(len(x), ct_features.SLICES)
    return ct_features.distances(x[shown], y[shown], body[shown])


def _radiomics(cuts: _Cuts, f: int) -> dict[str, float]:
    """Concordance of each radiomic feature over the flat regions, image against reference."""
    rows: list[tuple[dict[str, float], dict[str, float]]] = []
    for flat, fine in cuts:
        size = flat.shape[0]
        image = fine.reshape(size, f, size, f).mean(axis=(1, 3))
        whole = np.ones((1, size, size), dtype=bool)
        own, normal = (features(a[None], whole, bin_width_hu=RADIOMIC_BIN_HU, lowest_hu=HU_MIN) for a in (image, flat))
        rows.append((own, normal))
    if len(rows) < 5:
        return {}
    return {
        name: concordance(np.array([own[name] for own, _ in rows]), np.array([normal[name] for _, normal in rows]))
        for name in rows[0][0]
    }
