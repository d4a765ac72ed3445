"""Projection and filtered back projection of slices, parallel and fan beam, batched on CPU and CUDA.

Both directions are one sparse sum a ray or a pixel, done by `torch.nn.functional.embedding_bag` with slices and the
quarter turns of the gantry as channels: view β + 90° sees the image turned by 90°, so a quarter of the index
arithmetic serves every view, and each gather moves a whole cache line (docs/adr/0002-projector.md).

Geometry: pixel (row j, column i) lies at x = (i − c)·p, y = (c − j)·p mm with c = (N − 1)/2; the source of view β lies
at (cos β, sin β)·D and looks at the isocentre. Sinograms are (slices, views, bins).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from med_stylesr.degrade.geometry import FanBeamGeometry, ScanGeometry
from med_stylesr.degrade.kernel import ReconstructionKernel

_TILE = 64
"""Pixels are visited in tiles of this edge, so that the rows they read stay in a core's own cache."""
_OVERSAMPLE = 2
"""Filtered rows are resampled this much finer by Fourier interpolation before the back projection interpolates them
linearly: done on the bins themselves, that would more than halve the response at the detector's Nyquist."""


def project(image: Tensor, pixel_mm: float, geometry: ScanGeometry) -> Tensor:
    """Line integrals of square slices by Joseph's method: each ray is sampled once a row (or column, if it is flatter).

    Args:
        image: (K, N, N) attenuation per mm; differentiable. Zero is assumed outside.
        pixel_mm: pixel size in mm.
        geometry: scan geometry.

    Returns:
        (K, views, bins) line integrals, without unit.

    Raises:
        ValueError: if the slices are not square.

    Source: Joseph, IEEE Trans Med Imaging 1 (1982) 192, doi 10.1109/TMI.1982.4307572.
    """
    slices, n = image.shape[0], _square_size(image)
    turns = geometry.quarter_turns
    padded = pad(image, (1, 1, 1, 1))
    table = torch.stack([torch.rot90(padded, -r, (1, 2)) for r in range(turns)])
    table = table.permute(2, 3, 0, 1).reshape((n + 2) ** 2, turns * slices)

    bins, base_views = geometry.bins, geometry.views // turns
    rows = []
    for views in _chunks(base_views, max(1, _gathers_at_once(image) // (2 * bins * n))):
        index, weight, step_mm = _ray_samples(*_rays(geometry, views, image), n, pixel_mm)
        rows.append(embedding_bag(index, table, mode="sum", per_sample_weights=weight) * step_mm)
    lines = torch.cat(rows).reshape(base_views, bins, turns, slices)
    return lines.permute(3, 2, 0, 1).reshape(slices, geometry.views, bins)


def project_adjoint(sinogram: Tensor, size: int, pixel_mm: float, geometry: ScanGeometry) -> Tensor:
    """Apply the exact adjoint of `project`, the A* of <Ax, y> = <x, A*y>.

    Args:
        sinogram: (K, views, bins).
        size: rows and columns N of the slices.
        pixel_mm: pixel size in mm.
        geometry: scan geometry.

    Returns:
        (K, N, N).
    """
    image = sinogram.new_zeros(sinogram.shape[0], size, size, requires_grad=True)
    with torch.enable_grad():
        (adjoint,) = torch.autograd.grad(project(image, pixel_mm, geometry), image, sinogram)
    return adjoint


def filtered_back_projection(
    sinogram: Tensor, size: int, pixel_mm: float, geometry: ScanGeometry, kernel: ReconstructionKernel
) -> Tensor:
    """Reconstruct square slices from line integrals.

    Parallel beam: f = Δβ Σ_β q_β(t). Equiangular fan beam: rays are weighted by D·cos γ, filtered with
    ½(γ/sin γ)² h(γ) and back projected with 1/L².

    Args:
        sinogram: (K, views, bins) line integrals; differentiable.
        size: rows and columns N of the slices.
        pixel_mm: pixel size in mm.
        geometry: scan geometry.
        kernel: apodisation of the ramp.

    Returns:
        (K, N, N) attenuation per mm, 0 outside the scan's field of view.

    Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, doi 10.1137/1.9780898719277,
    sections 3.3 and 3.4.1.
    """
    return back_project(filter_rows(sinogram, geometry, kernel), size, pixel_mm, geometry)


def filter_rows(sinogram: Tensor, geometry: ScanGeometry, kernel: ReconstructionKernel) -> Tensor:
    """Weight and ramp-filter detector rows and resample them finer.

    Args:
        sinogram: (K, views, bins).
        geometry: scan geometry.
        kernel: apodisation of the ramp, its frequencies in 1/mm at the isocentre.

    Returns:
        (K, views, 2·bins): sample m lies at detector position m/2.
    """
    bins, pitch = geometry.bins, geometry.bin_pitch
    size = 1 << (2 * bins - 1).bit_length()
    n = torch.arange(size, device=sinogram.device, dtype=torch.float64)
    n = torch.minimum(n, size - n)
    tap = torch.where(n % 2 == 1, -1 / (math.pi * n * pitch).clamp_min(1e-12) ** 2, torch.zeros_like(n))
    tap[0] = 1 / (4 * pitch**2)
    if isinstance(geometry, FanBeamGeometry):
        angle = n * pitch
        usable = (n > 0) & (n < bins)
        ratio = torch.where(usable, angle / torch.sin(torch.where(usable, angle, torch.ones_like(angle))), 1.0)
        tap = 0.5 * tap * ratio**2
        gamma = geometry.bin_positions(sinogram)
        sinogram = sinogram * (geometry.source_to_isocenter_mm * torch.cos(gamma))
    frequency = torch.arange(size // 2 + 1, device=n.device, dtype=n.dtype) / (size * geometry.bin_mm)
    # Linear interpolation of the back projection has the response sinc², taken off here.
    interpolation = torch.sinc(frequency * geometry.bin_mm / _OVERSAMPLE) ** 2
    response = torch.fft.rfft(tap).real * pitch * kernel.at(frequency) / interpolation
    spectrum = torch.fft.rfft(sinogram, n=size) * response.to(sinogram.dtype)
    fine = torch.fft.irfft(spectrum, n=_OVERSAMPLE * size) * _OVERSAMPLE
    return fine[..., : _OVERSAMPLE * bins]


def back_project(filtered: Tensor, size: int, pixel_mm: float, geometry: ScanGeometry) -> Tensor:
    """Sum filtered rows over views at every pixel, with linear interpolation along the row.

    Args:
        filtered: (K, views, 2·bins) from `filter_rows`; differentiable.
        size: rows and columns N of the slices.
        pixel_mm: pixel size in mm.
        geometry: scan geometry.

    Returns:
        (K, N, N), 0 outside the scan's field of view.

    Raises:
        ValueError: if no pixel lies in the field of view.
    """
    slices, fine_bins = filtered.shape[0], filtered.shape[2]
    turns = geometry.quarter_turns
    base_views = geometry.views // turns
    table = filtered.reshape(slices, turns, base_views, fine_bins).permute(2, 3, 1, 0)
    table = table.reshape(base_views * fine_bins, turns * slices).contiguous()

    position, pixel = _field_positions(size, pixel_mm, geometry, filtered)
    if not len(position):
        raise ValueError(f"no pixel of {pixel_mm:g} mm lies in a field of view of {2 * geometry.field_radius_mm:g} mm")
    block = _gathers_at_once(filtered)
    parts = []
    for tile in position.split(_TILE**2 if filtered.device.type == "cpu" else max(1, block // (2 * base_views))):
        total = filtered.new_zeros(len(tile), turns * slices)
        for views in _chunks(base_views, max(1, block // (2 * len(tile)))):
            index, weight = _row_samples(tile, views, fine_bins, geometry)
            total = total + embedding_bag(index, table, mode="sum", per_sample_weights=weight)
        parts.append(total)
    flat = filtered.new_zeros(size * size, turns * slices).index_copy(0, pixel, torch.cat(parts))
    images = flat.reshape(size, size, turns, slices).permute(2, 3, 0, 1)
    turned = torch.stack([torch.rot90(images[r], r, (1, 2)) for r in range(turns)]).sum(0)
    return turned * (geometry.span_rad / geometry.views)


def _field_positions(size: int, pixel_mm: float, geometry: ScanGeometry, like: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (P, 2) in mm and flat indices (P,) of the pixels in the field, tile by tile."""
    index = torch.arange(size * size, device=like.device)
    row, column = index // size, index % size
    tile = (row // _TILE) * (size // _TILE + 1) + column // _TILE
    order = torch.argsort(tile, stable=True)
    center = (size - 1) / 2
    position = torch.stack([column - center, center - row], dim=1)[order].to(like.dtype) * pixel_mm
    inside = position.square().sum(1) < geometry.field_radius_mm**2
    return position[inside], order[inside]


def _row_samples(position: Tensor, views: range, fine_bins: int, geometry: ScanGeometry) -> tuple[Tensor, Tensor]:
    """Indices into the table of filtered rows and weights, each (positions, 2·views)."""
    angle = geometry.view_angles(views, position)
    bin_position, weight = geometry.locate(position, torch.stack([torch.cos(angle), torch.sin(angle)]))
    # Positions come from inside the field, so that the clamp acts on rounding alone.
    fine = bin_position.mul_(_OVERSAMPLE).clamp_(0, fine_bins - 1)
    left = fine.to(torch.int32).clamp_(max=fine_bins - 2)
    upper = fine.sub_(left)
    lower = 1 - upper
    if weight is not None:
        lower, upper = lower.mul_(weight), upper.mul_(weight)
    left += torch.arange(views.start, views.stop, device=left.device, dtype=torch.int32) * fine_bins
    return torch.stack([left, left + 1], dim=2).flatten(1), torch.stack([lower, upper], dim=2).flatten(1)


def _rays(geometry: ScanGeometry, views: range, like: Tensor) -> tuple[Tensor, Tensor]:
    """Point of closest approach to the isocentre and unit direction of every ray, each (views, bins, 2) in mm."""
    angle = geometry.view_angles(views, like)[:, None]
    bin_position = geometry.bin_positions(like)
    if isinstance(geometry, FanBeamGeometry):
        turn, distance = angle - bin_position, geometry.source_to_isocenter_mm * torch.sin(bin_position)
    else:
        turn, distance = angle.expand(-1, len(bin_position)), bin_position
    direction = -torch.stack([torch.cos(turn), torch.sin(turn)], dim=2)
    normal = torch.stack([-torch.sin(turn), torch.cos(turn)], dim=2)
    return distance[..., None] * normal, direction


def _ray_samples(start: Tensor, direction: Tensor, n: int, pixel_mm: float) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices and weights, each (rays, 2·n), into a grid of n + 2 whose outermost ring is zero.

    Also returns the length (rays, 1) in mm that a ray takes from sample to sample.
    """
    column = start[..., 0].flatten() / pixel_mm + (n + 1) / 2
    row = (n + 1) / 2 - start[..., 1].flatten() / pixel_mm
    right, down = direction[..., 0].flatten(), -direction[..., 1].flatten()
    steep = down.abs() >= right.abs()
    slope = torch.where(steep, right, down) / torch.where(steep, down, right)
    first = torch.where(steep, column - row * slope, row - column * slope)
    line = torch.arange(1, n + 1, device=start.device, dtype=start.dtype)
    across = (first[:, None] + slope[:, None] * line).clamp_(0, n + 1)
    near = across.to(torch.int32).clamp_(max=n)
    upper = across.sub_(near)
    step_across = torch.where(steep, 1, n + 2).to(torch.int32)[:, None]
    step_along = torch.where(steep, n + 2, 1).to(torch.int32)[:, None]
    index = near * step_across + step_along * line.to(torch.int32)
    indices = torch.stack([index, index + step_across], dim=2).flatten(1)
    weights = torch.stack([1 - upper, upper], dim=2).flatten(1)
    return indices, weights, pixel_mm / torch.where(steep, down, right).abs()[:, None]


def _gathers_at_once(like: Tensor) -> int:
    """Gathers whose indices are held at once: on a CPU few enough for its cache, on a GPU enough to fill it."""
    return 1 << 19 if like.device.type == "cpu" else 1 << 25


def _chunks(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def _square_size(image: Tensor) -> int:
    if image.ndim != 3 or image.shape[1] != image.shape[2]:
        raise ValueError(f"slices must be square (K, N, N), not {tuple(image.shape)}")
    return image.shape[2]
