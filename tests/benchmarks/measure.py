"""What is measured on a result against the scan at normal dose, as plain numbers; tables pool them over scans."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from benchmarks.scans import Hu
from numpy.typing import NDArray

from med_stylesr.metrics.bias import masked_shift
from med_stylesr.metrics.fidelity import CONVENTIONS, psnr_db, slice_fidelity
from med_stylesr.metrics.hallucination import residual_structure_index
from med_stylesr.metrics.radiomics import glcm, intensity
from med_stylesr.metrics.regions import body_mask, flat_rois, tissue_masks
from med_stylesr.metrics.resolution import ttf_from_skin
from med_stylesr.metrics.texture import BANDS_PER_MM, noise_power_spectrum, radial_profile

VERSION: Final = 1
"""Counts up whenever a definition here changes, so that no stale number is kept."""
ROI_MM: Final = 16.0
ROI_COUNT: Final = 24
PATCH_MM: Final = 14.0
"""Edge of the patches that radiomic features are taken on."""
PATCH_STEP: Final = 2
"""Patches lie this many edges apart."""
BIN_HU: Final = 20.0
LOWEST_HU: Final = -1024.0

Spacing = tuple[float, float, float]


def measure(low: Hu, result: Hu, normal: Hu, spacing_mm: Spacing) -> dict[str, Any]:
    """Everything about one result.

    Args:
        low: HU of the input, (slices, rows, columns).
        result: HU of the result.
        normal: HU at normal dose.
        spacing_mm: slice, row, column.

    Returns:
        fidelity (convention → psnr_db, ssim, rmse_hu; SSIM of the middle slice), shift_hu (tissue → voxels, HU of
        result minus input), spectrum (frequencies, power, reference power, band powers), f50 at the skin of both,
        structure index, radiomics (feature → values of result and reference, one a patch).
    """
    masks = tissue_masks(normal, spacing_mm)
    shifts = masked_shift(low, result, masks)
    return {
        "fidelity": {name: _fidelity(result, normal, name) for name in CONVENTIONS},
        "shift_hu": {name: [s.voxels, s.shift_hu] for name, s in shifts.items()},
        "spectrum": _spectrum(result, normal, spacing_mm),
        "f50": [_f50(image, spacing_mm) for image in (result, normal)],
        "structure": _structure(low, result, normal, spacing_mm),
        "radiomics": _radiomics(result, normal, spacing_mm),
    }


def _fidelity(result: Hu, normal: Hu, convention: str) -> dict[str, float]:
    """Mean over slices; SSIM, which takes most of the time, on the middle slice."""
    rule = CONVENTIONS[convention]
    squares = [float(((rule.apply(r) - rule.apply(n)) ** 2).mean()) for r, n in zip(result, normal, strict=True)]
    middle = len(result) // 2
    return {
        "psnr_db": float(np.mean([psnr_db(s, rule.data_range) for s in squares])),
        "rmse_hu": float(np.mean(np.sqrt(squares))),
        "ssim": slice_fidelity(result[middle], normal[middle], rule)["ssim"],
    }


def _spectrum(result: Hu, normal: Hu, spacing_mm: Spacing) -> dict[str, Any] | None:
    rois = flat_rois(normal, spacing_mm, size_mm=ROI_MM, count=ROI_COUNT)
    if not rois:
        return None
    own, reference = (noise_power_spectrum([r.cut(x) for r in rois], spacing_mm[1:]) for x in (result, normal))
    profile, normal_profile = radial_profile(own), radial_profile(reference)
    return {
        "regions": len(rois),
        "noise_hu": [own.noise_sd_hu, reference.noise_sd_hu],
        "bands": {name: [own.band_power(*band), reference.band_power(*band)] for name, band in BANDS_PER_MM.items()},
        "peak_per_mm": [profile.peak_per_mm, normal_profile.peak_per_mm],
        "mean_per_mm": [profile.mean_per_mm, normal_profile.mean_per_mm],
        "frequency_per_mm": profile.frequency_per_mm.tolist(),
        "power": profile.power.tolist(),
        "reference_power": normal_profile.power.tolist(),
    }


def _f50(image: Hu, spacing_mm: Spacing) -> float | None:
    """Half-value frequency of the transfer function at the skin, 1/mm."""
    try:
        value = ttf_from_skin(image, spacing_mm, slices=list(range(len(image)))).frequency_at(0.5)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _structure(low: Hu, result: Hu, normal: Hu, spacing_mm: Spacing) -> float | None:
    value = residual_structure_index(low, result, spacing_mm, body_mask(normal)) if len(low) >= 3 else float("nan")
    return value if np.isfinite(value) else None


def _radiomics(result: Hu, normal: Hu, spacing_mm: Spacing) -> dict[str, list[list[float]]]:
    """First-order and co-occurrence features on patches of the body, result and reference."""
    size = round(PATCH_MM / spacing_mm[2])
    inside = body_mask(normal)
    table: dict[str, list[list[float]]] = {}
    middle = len(normal) // 2
    for top in range(0, normal.shape[1] - size, size * PATCH_STEP):
        for left in range(0, normal.shape[2] - size, size * PATCH_STEP):
            window = np.s_[middle, top : top + size, left : left + size]
            if not inside[window].all():
                continue
            both = [_features(image[window]) for image in (result, normal)]
            for name, value in both[0].items():
                table.setdefault(name, []).append([value, both[1][name]])
    return table


def _features(patch: NDArray[Any]) -> dict[str, float]:
    levels = np.maximum(np.floor((patch.astype(np.float64) - LOWEST_HU) / BIN_HU).astype(int), 0) + 1
    # Bounded to the patch's own range: the matrix would hold thousands of empty levels otherwise.
    shifted = levels - levels.min() + 1
    texture = glcm(shifted[None])
    # What depends on the absolute level is in the first-order features already.
    moved = {"joint_average", "cluster_shade"}
    return {f"intensity_{k}": v for k, v in intensity(patch).items()} | {
        f"glcm_{k}": v for k, v in texture.items() if k not in moved
    }
