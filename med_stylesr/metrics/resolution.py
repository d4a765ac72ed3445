"""Sharpness: the task transfer function (TTF) from circular inserts and from skin, and edge width through plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

EDGE_REACH_MM: Final = 8.0
"""Distance to either side of an edge that its profile spans."""
BIN_SHARE: Final = 0.2
"""Width of a bin of the edge-spread function as a share of the pixel."""


@dataclass(frozen=True)
class TransferFunction:
    """Task transfer function, 1 at zero frequency.

    Attributes:
        frequency_per_mm: ascending from 0, 1/mm.
        value: transfer at each frequency.
        contrast_hu: height of the edge it was measured on; a denoiser's TTF depends on it.
    """

    frequency_per_mm: NDArray[np.float64]
    value: NDArray[np.float64]
    contrast_hu: float

    def frequency_at(self, level: float) -> float:
        """First frequency at which the transfer falls to `level` (0.5 for f50, 0.1 for f10); NaN if it never does."""
        below = np.flatnonzero(self.value <= level)
        if below.size == 0 or below[0] == 0:
            return float("nan")
        i = int(below[0])
        return float(np.interp(-level, -self.value[i - 1 : i + 1], self.frequency_per_mm[i - 1 : i + 1]))


def ttf_from_disk(
    image: NDArray[Any], pixel_mm: tuple[float, float], *, centre: tuple[float, float], radius_mm: float
) -> TransferFunction:
    """TTF from a circular insert: edge spread by distance from the centre, its derivative, its Fourier transform.

    Args:
        image: HU, shape (rows, columns), averaged over slices beforehand to lower the noise.
        pixel_mm: row and column spacing.
        centre: nearby row and column of the insert's centre; refined to its centre of mass.
        radius_mm: radius of the insert; several times the width of the blur.

    Raises:
        ValueError: if the insert does not lie within the image or has no contrast.

    Source:
        Richard et al., Med Phys 39 (2012) 4115, doi:10.1118/1.4725171; AAPM TG-233, doi:10.1002/mp.13763.
    """
    y, x = (np.asarray(axis) for axis in np.indices(image.shape, dtype=np.float64))
    row, column = centre
    # Centre of mass by background-subtracted weight, in a window that holds the whole edge.
    for _ in range(3):
        r = np.asarray(np.hypot((y - row) * pixel_mm[0], (x - column) * pixel_mm[1]))
        inner, outer = image[r < 0.6 * radius_mm], image[(r > radius_mm + 3) & (r < radius_mm + EDGE_REACH_MM)]
        if inner.size == 0 or outer.size == 0 or abs(inner.mean() - outer.mean()) < 1e-6:
            raise ValueError("no insert with contrast at that place")
        near = np.asarray(r < radius_mm + 3)
        weight = np.clip((image[near] - outer.mean()) / (inner.mean() - outer.mean()), 0, 1.5)
        row, column = float((weight * y[near]).sum() / weight.sum()), float((weight * x[near]).sum() / weight.sum())
    distance = radius_mm - np.hypot((y - row) * pixel_mm[0], (x - column) * pixel_mm[1])
    reach = min(EDGE_REACH_MM, 0.9 * radius_mm)
    return _from_edge(distance, np.asarray(image, dtype=np.float64), reach, float(np.mean(pixel_mm)))


def ttf_from_skin(hu: NDArray[Any], spacing_mm: tuple[float, float, float], *, slices: list[int]) -> TransferFunction:
    """TTF of a patient scan from the border of skin and air.

    Pixels are sorted by their distance from the smoothed outline; stretches that touch the table, clothes or the edge
    of the field of view are left out. Skin is thin and bent, so absolute values lie below those of a phantom: compare
    images of the same slices, not scans of different patients.

    Args:
        hu: HU, shape (slices, rows, columns).
        spacing_mm: voxel spacing (slice, row, column).
        slices: which slices to take.

    Raises:
        ValueError: if no clean stretch of skin is found.

    Source:
        Sanders, Hurwitz & Samei, Med Phys 43 (2016) 5330, doi:10.1118/1.4961984 (here with whole-outline pooling).
    """
    distances, values = [], []
    pixel = spacing_mm[1:]
    for k in slices:
        found = _skin_pixels(np.asarray(hu[k], dtype=np.float64), pixel)
        if found is not None:
            distances.append(found[0])
            values.append(found[1])
    if not distances or sum(d.size for d in distances) < 2000:
        raise ValueError("no clean stretch of skin to measure sharpness on")
    return _from_edge(np.concatenate(distances), np.concatenate(values), EDGE_REACH_MM, float(np.mean(pixel)))


def edge_width_through_plane(
    hu: NDArray[Any], spacing_mm: tuple[float, float, float], *, low_hu: float = -700.0, high_hu: float = 0.0
) -> float:
    """Median 10–90 % width, in mm, of edges that face along the slice axis (lung above liver, bed of a phantom).

    A Gaussian slice profile of FWHM w gives 1.09 w: super-resolution through plane must make it smaller.

    Args:
        hu: HU, shape (slices, rows, columns).
        spacing_mm: voxel spacing (slice, row, column).
        low_hu: an edge starts below this.
        high_hu: and ends above this.

    Returns:
        Width in mm; NaN when fewer than 50 such edges exist.
    """
    if len(hu) < 2:
        return float("nan")
    volume = ndimage.gaussian_filter(hu.astype(np.float32), (0, *(1.5 / mm for mm in spacing_mm[1:])))
    gradient = np.gradient(volume, *spacing_mm)
    facing = np.abs(gradient[0]) > 3 * np.hypot(gradient[1], gradient[2])
    reach = max(2, int(np.ceil(2 * EDGE_REACH_MM / spacing_mm[0] / 2)))
    steep = facing & (np.abs(gradient[0]) == ndimage.maximum_filter1d(np.abs(gradient[0]), 2 * reach + 1, axis=0))
    steep[:reach] = steep[-reach:] = False
    widths = []
    for k, j, i in np.argwhere(steep):
        profile = volume[k - reach : k + reach + 1, j, i].astype(np.float64)
        profile = profile if profile[-1] > profile[0] else profile[::-1]
        if profile[0] < low_hu and profile[-1] > high_hu and (np.diff(profile) > -40).all():
            unit = (profile - profile[:2].mean()) / (profile[-2:].mean() - profile[:2].mean())
            rising = np.maximum.accumulate(unit) + np.arange(unit.size) * 1e-9
            at = np.interp([0.1, 0.9], rising, np.arange(unit.size) * spacing_mm[0])
            widths.append(at[1] - at[0])
    return float(np.median(widths)) if len(widths) >= 50 else float("nan")


def _skin_pixels(
    plane: NDArray[np.float64], pixel: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Signed distance (inside positive, mm) and HU of pixels near clean skin."""
    from skimage.measure import find_contours

    smooth = ndimage.gaussian_filter(plane, [1.0 / mm for mm in pixel], mode="nearest")
    outlines = find_contours(smooth, -500.0)
    if not outlines:
        return None
    scale = np.asarray(pixel)
    outline = max(outlines, key=len) * scale
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    if length[-1] < 200 or np.linalg.norm(outline[0] - outline[-1]) > 1:
        return None
    step = 0.1 * float(scale.mean())
    even = np.arange(0, length[-1], step)
    points = np.stack([np.interp(even, length, outline[:, axis]) for axis in (0, 1)], axis=1)
    # The outline's own noise would blur the edge spread; skin does not bend within 3 mm.
    points = ndimage.gaussian_filter1d(points, 3.0 / step, axis=0, mode="wrap")
    tree = spatial.cKDTree(points)
    near = ndimage.binary_dilation(_trace(points / scale, plane.shape), iterations=int(EDGE_REACH_MM / min(pixel)) + 2)
    where = np.argwhere(near)
    found = tree.query(where * scale, distance_upper_bound=EDGE_REACH_MM)
    distance, nearest = np.asarray(found[0], dtype=np.float64), np.asarray(found[1], dtype=np.intp)
    kept = np.isfinite(distance)
    where, distance, nearest = where[kept], distance[kept], nearest[kept]
    tangent = np.roll(points, -5, axis=0) - np.roll(points, 5, axis=0)
    offset = where * scale - points[nearest]
    side = tangent[nearest, 0] * offset[:, 1] - tangent[nearest, 1] * offset[:, 0]
    values = plane[where[:, 0], where[:, 1]]
    signed = distance * np.sign(side)
    if values[signed > 3].mean() < values[signed < -3].mean():
        signed = -signed
    # Judge stretches of 5 mm: clean air outside, tissue inside.
    stretch = (nearest * step / 5.0).astype(int)
    good = np.ones(stretch.max() + 1, dtype=bool)
    for part, low, high in ((signed < -4, -1100.0, -960.0), (signed > 3, -180.0, 150.0)):
        total = np.bincount(stretch[part], minlength=good.size)
        mean = np.bincount(stretch[part], values[part], minlength=good.size) / np.maximum(total, 1)
        good &= (total > 3) & (mean > low) & (mean < high)
    used = good[stretch]
    return (signed[used], values[used]) if used.any() else None


def _trace(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    index = np.clip(np.rint(points).astype(int), 0, np.array(shape) - 1)
    mask[index[:, 0], index[:, 1]] = True
    return mask


def _from_edge(
    distance: NDArray[np.float64], values: NDArray[np.float64], reach_mm: float, pixel_mm: float
) -> TransferFunction:
    """Transfer function of an edge at distance zero, from values at signed distances (inside positive)."""
    width = BIN_SHARE * pixel_mm
    half = int(reach_mm / width)
    index = np.floor(distance / width).astype(int) + half
    inside = (index >= 0) & (index < 2 * half)
    count = np.bincount(index[inside], minlength=2 * half)
    total = np.bincount(index[inside], values[inside], minlength=2 * half)
    filled = count > 0
    if filled.sum() < half:
        raise ValueError("too few pixels near the edge")
    position = np.arange(2 * half)
    spread = np.interp(position, position[filled], total[filled] / count[filled])
    line = np.diff(spread)
    centre = int(np.rint((np.abs(line) * np.arange(line.size)).sum() / np.abs(line).sum()))
    side = min(centre, line.size - 1 - centre)
    window = np.zeros(line.size)
    window[centre - side : centre + side + 1] = _tapered(side)
    spectrum = np.abs(np.fft.rfft(line * window, 8 * line.size))
    frequency = np.fft.rfftfreq(8 * line.size, width)
    # Bins average over their width, and the difference of neighbours is not yet a derivative.
    spectrum = spectrum / np.sinc(frequency * width) ** 2
    used = frequency <= 1.2 / (2 * pixel_mm)
    contrast = float(spread[-half // 4 :].mean() - spread[: half // 4].mean())
    value = np.asarray(spectrum[used] / spectrum[0], dtype=np.float64)
    return TransferFunction(np.asarray(frequency[used], dtype=np.float64), value, contrast)


def _tapered(side: int) -> NDArray[np.float64]:
    """Tukey window of 2·side + 1 values, half of them flat; scipy.signal would add most of a second to every report.

    Source: Harris, Proc IEEE 66 (1978) 51, doi:10.1109/PROC.1978.10837, eq. 38.
    """
    outwards = np.abs(np.arange(-side, side + 1)) / max(side, 1)
    return np.asarray(0.5 * (1 - np.cos(np.pi * np.clip(2 * (1 - outwards), 0, 1))), dtype=np.float64)
