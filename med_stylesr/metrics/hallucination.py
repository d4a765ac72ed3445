"""Was anatomy removed or invented? Structure in the change, scanning Fourier ring correlation, data consistency.

Needs numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

STRUCTURE_SCALES_MM: Final = (0.8, 1.6, 3.2)
"""Standard deviations of the Laplacian-of-Gaussian features that describe fine anatomy."""
SHARED_ANATOMY: Final = 0.005
"""Share of a blur's change that neighbouring slices must explain; below it they lie too far apart to judge by."""
ODDITY_SMOOTHING_MM: Final = 2.0
"""Standard deviation of the Gaussian that averages noise out of the change, so that structure in it stands out."""
NOISE_REACH_MM: Final = 8.0
"""Standard deviation of the Gaussian over which the noise around a place is taken."""
LEAST_NOISE: Final = 0.5
"""Smallest noise that counts, over the body's median."""


def residual_structure_index(
    before: NDArray[Any],
    after: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    body: NDArray[np.bool_],
) -> float:
    """Share of the removed variance that anatomy explains: 0 = only noise was removed, 1 = only structure was.

    R² of the change (after − before) regressed on fine anatomy: Laplacians of Gaussians of the *neighbouring* slices'
    mean. Neighbours share the anatomy but not the noise; taking the slice's own features would find the noise that a
    partial denoiser leaves behind. Blurring subtracts just these Laplacians and scores high. The value falls with the
    distance of slices and with the noise: compare results of one scan; `structure_loss` compares across scans.

    Args:
        before: HU, shape (slices, rows, columns), at least three slices.
        after: HU on the same grid.
        spacing_mm: voxel spacing (slice, row, column).
        body: voxels that count.

    Returns:
        Index in [0, 1]; NaN with fewer than three slices or without body; 0 if nothing changed.

    Source:
        Own definition; the idea of judging the residual is that of "method noise", Buades et al. 2005,
        doi:10.1137/040616024.
    """
    explained, total = _explained_by_anatomy(before, lambda k: after[k], spacing_mm, body)
    return 0.0 if total == 0 else float(np.clip(explained / total, 0, 1))


def structure_loss(
    before: NDArray[Any],
    after: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    body: NDArray[np.bool_],
) -> float:
    """Energy of the anatomy that was changed, as a share of what a one-pixel Gaussian blur takes from this very scan.

    The explained energy of `residual_structure_index`, divided by that of the blur on the same slices: noise and slice
    distance weaken both alike. 0 = none, 1 = as much as the blur.

    Args:
        before: HU, shape (slices, rows, columns), at least three slices.
        after: HU on the same grid.
        spacing_mm: voxel spacing (slice, row, column).
        body: voxels that count.

    Returns:
        A share, 0 or more; NaN with fewer than three slices, without body, or where neighbouring slices share too
        little anatomy to tell.
    """

    def blurred(k: int) -> NDArray[np.float64]:
        return np.asarray(ndimage.gaussian_filter(before[k].astype(np.float64), 1.0, mode="nearest"))

    lost, _ = _explained_by_anatomy(before, lambda k: after[k], spacing_mm, body)
    by_blur, total = _explained_by_anatomy(before, blurred, spacing_mm, body)
    return lost / by_blur if total > 0 and by_blur > SHARED_ANATOMY * total else float("nan")


def _explained_by_anatomy(
    before: NDArray[Any],
    after: Callable[[int], NDArray[Any]],
    spacing_mm: tuple[float, float, float],
    body: NDArray[np.bool_],
) -> tuple[float, float]:
    """Energy of the change that the neighbours' Laplacians explain, and all of it (NaN without anything to look at)."""
    products = np.zeros((len(STRUCTURE_SCALES_MM) + 1,) * 2)
    count = 0
    for k in range(1, before.shape[0] - 1):
        inside = body[k]
        if not inside.any():
            continue
        anatomy = (before[k - 1].astype(np.float64) + before[k + 1]) / 2
        rows = [
            ndimage.gaussian_laplace(anatomy, [mm / s for s in spacing_mm[1:]])[inside] for mm in STRUCTURE_SCALES_MM
        ]
        rows.append((np.asarray(after(k), dtype=np.float64) - before[k])[inside])
        stack = np.stack(rows)
        stack -= stack.mean(axis=1, keepdims=True)
        products += stack @ stack.T
        count += int(inside.sum())
    if count == 0:
        return float("nan"), float("nan")
    moments = products[:-1, -1]
    explained = moments @ np.linalg.lstsq(products[:-1, :-1], moments, rcond=None)[0]
    return float(explained), float(products[-1, -1])


def oddity_map(
    before: NDArray[Any], after: NDArray[Any], spacing_mm: tuple[float, float, float], body: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Where the change is more than noise: the smoothed change over what the noise around it would leave of it.

    The noise around is the root mean square of what the smoothing takes away, over a Gaussian of `NOISE_REACH_MM`: it
    follows streaks and shoulders, where more noise is removed. The smoothed change over it is scaled to a robust
    spread of 1 over the body. Removed noise gives values of about −4 … 4; removed or added structure does not.

    Args:
        before: HU, shape (slices, rows, columns).
        after: HU on the same grid.
        spacing_mm: voxel spacing (slice, row, column).
        body: voxels that count; the rest is 0.

    Returns:
        Signed z values, float32, same shape: positive where signal was added.
    """
    change = after.astype(np.float32) - before
    smooth = _in_plane(change, ODDITY_SMOOTHING_MM, spacing_mm)
    inside = body.astype(np.float32)
    power = _in_plane((change - smooth) ** 2 * inside, NOISE_REACH_MM, spacing_mm)
    noise = np.sqrt(power / np.maximum(_in_plane(inside, NOISE_REACH_MM, spacing_mm), 1e-3))
    if not body.any() or np.median(noise[body]) == 0:
        return np.zeros(before.shape, dtype=np.float32)
    # Where next to nothing was changed, next to nothing would stand out.
    ratio = smooth / np.maximum(noise, LEAST_NOISE * np.median(noise[body]))
    values = ratio[body]
    centre = np.median(values)
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    if spread == 0:
        return np.zeros(before.shape, dtype=np.float32)
    return np.where(body, (ratio - centre) / spread, 0).astype(np.float32)


def _in_plane(
    image: NDArray[np.float32], sigma_mm: float, spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(
        image, (0.0, *(sigma_mm / mm for mm in spacing_mm[1:])), mode="nearest"
    )
    return smooth


@dataclass(frozen=True)
class RingCorrelation:
    """Fourier ring correlation of one box.

    Attributes:
        row: first row of the box.
        column: first column.
        cutoff_per_mm: lowest frequency at which the correlation falls below the threshold (the Nyquist limit if never).
        flagged: whether it falls below already under the frequency asked for.
    """

    row: int
    column: int
    cutoff_per_mm: float
    flagged: bool


def ring_correlation(
    a: NDArray[Any], b: NDArray[Any], pixel_mm: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fourier ring correlation of two equally sized images, tapered by a Hann window.

    FRC(f) = Re Σ A·B* / √(Σ|A|² Σ|B|²) over the ring of frequency f.

    Returns:
        Frequencies (1/mm, zero excluded) and correlations in [−1, 1].

    Source:
        Saxton & Baumeister, J Microsc 127 (1982) 127, doi:10.1111/j.1365-2818.1982.tb00405.x.
    """
    taper = np.hanning(a.shape[0])[:, None] * np.hanning(a.shape[1])[None]
    spectra = [np.fft.fft2((np.asarray(x, dtype=np.float64) - np.mean(x)) * taper) for x in (a, b)]
    fy, fx = (np.fft.fftfreq(n, mm) for n, mm in zip(a.shape, pixel_mm, strict=True))
    radius = np.hypot(fy[:, None], fx[None])
    step = max(fy[1], fx[1])
    ring = np.rint(radius / step).astype(int).ravel()
    limit = int(min(np.abs(fy).max(), np.abs(fx).max()) / step)
    cross = np.bincount(ring, (spectra[0] * spectra[1].conj()).real.ravel())
    powers = [np.bincount(ring, (np.abs(s) ** 2).ravel()) for s in spectra]
    scale = np.sqrt(powers[0] * powers[1])
    correlation = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    return np.arange(1, limit + 1) * step, correlation[1 : limit + 1]


def scanning_ring_correlation(
    pred: NDArray[Any],
    reference: NDArray[Any],
    pixel_mm: tuple[float, float],
    *,
    box: int,
    threshold: float,
    below_per_mm: float,
    body: NDArray[np.bool_] | None = None,
) -> list[RingCorrelation]:
    """Fourier ring correlation of a slice and its reference in half-overlapping boxes: boxes that disagree are flagged.

    Args:
        pred: HU, shape (rows, columns).
        reference: HU of the same shape.
        pixel_mm: row and column spacing.
        box: edge of a box in pixels.
        threshold: correlation under which a frequency counts as not shared.
        below_per_mm: a box is flagged if it loses the reference below this frequency.
        body: boxes less than three quarters inside are left out.

    Returns:
        One entry a box.

    Source:
        After the scanning FRC of Kc, Zeng, Soni & Badano (FDA/DIDSR sFRC): same idea, thresholds are arguments.
    """
    found: list[RingCorrelation] = []
    for row in range(0, pred.shape[0] - box + 1, box // 2):
        for column in range(0, pred.shape[1] - box + 1, box // 2):
            window = (slice(row, row + box), slice(column, column + box))
            if body is not None and body[window].mean() < 0.75:
                continue
            frequency, correlation = ring_correlation(pred[window], reference[window], pixel_mm)
            lost = np.nonzero(correlation < threshold)[0]
            cutoff = float(frequency[lost[0]] if lost.size else frequency[-1])
            found.append(RingCorrelation(row, column, cutoff, bool(lost.size) and cutoff < below_per_mm))
    return found


def data_consistency(
    pred: NDArray[Any],
    measured: NDArray[Any],
    degrade: Callable[[NDArray[Any]], NDArray[Any]],
    spacing_mm: tuple[float, float, float],
    body: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], float]:
    """Does the result, degraded again, give back what was measured? For results without a reference.

    Args:
        pred: HU of the result, on its own grid.
        measured: HU of the input.
        degrade: the known, noise-free degradation (slice profile, in-plane averaging) from the grid of `pred` to that
            of `measured`; the identity for denoising alone.
        spacing_mm: voxel spacing of `measured`.
        body: voxels of `measured` that count.

    Returns:
        `oddity_map` of measured → degraded, and the root mean square of the smoothed difference in HU over the body.

    Raises:
        ValueError: if `degrade` does not lead to the grid of `measured`.
    """
    again = degrade(pred)
    if again.shape != measured.shape:
        raise ValueError(f"degraded result has shape {again.shape}, the input {measured.shape}")
    smooth = _in_plane(again.astype(np.float32) - measured, ODDITY_SMOOTHING_MM, spacing_mm)
    rms = float(np.sqrt((smooth[body].astype(np.float64) ** 2).mean())) if body.any() else float("nan")
    return oddity_map(measured, again, spacing_mm, body), rms
