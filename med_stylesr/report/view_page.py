"""A page with three linked 3D views (low dose | enhanced | difference), everything inside it."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.hu import HU_MIN, WINDOWS
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.comparison import body_box
from med_stylesr.report.pages import render
from med_stylesr.volume import CTVolume

DEFAULT_VOXELS: Final = 8_000_000
"""Voxels of each scan in a page: about 40 MB in all, which browsers open without pause."""
DIFFERENCE_HU: Final = 100.0


def write_view_page(
    path: Path,
    low: CTVolume,
    enhanced: CTVolume,
    *,
    max_voxels: int = DEFAULT_VOXELS,
    names: tuple[str, str] = ("low dose", "enhanced"),
) -> int:
    """Write the page; it opens in any browser with WebGL 2, without a network.

    Both scans are shown on the positions of `low`, cropped to the body. A scan of more than `max_voxels` is averaged
    over squares of pixels in its slices, and the page says so.

    Args:
        path: HTML file to write.
        low: first scan.
        enhanced: second scan, on any grid of the same patient space.
        max_voxels: upper bound of voxels a scan.
        names: captions.

    Returns:
        Edge of the squares that were averaged; 1 for full resolution.
    """
    pair = AlignedPair(low, enhanced)
    rows, columns = body_box(low.hu, low.spacing_mm)
    factor = 1
    voxels = low.hu.shape[0] * (rows.stop - rows.start) * (columns.stop - columns.start)
    while voxels / factor**2 > max_voxels:
        factor += 1
    rows, columns = (slice(s.start, s.start + (s.stop - s.start) // factor * factor) for s in (rows, columns))
    first = _averaged(low.hu[:, rows, columns], factor)
    second = np.stack([_averaged(pair.common(k)[None, rows, columns], factor)[0] for k in range(low.hu.shape[0])])
    second = np.where(np.isfinite(second), second, first)
    affine = low.affine @ _coarser(rows.start, columns.start, factor)
    scans = [
        (names[0], first, WINDOWS["soft tissue"]),
        (names[1], second, WINDOWS["soft tissue"]),
        (f"{names[1]} − {names[0]}", np.clip(second - first, -1000, 1000), None),
    ]
    volumes = [
        {
            "name": name,
            "nifti": _nifti(CTVolume(np.rint(hu).astype(np.int16), affine)),
            "low": window.low if window else -DIFFERENCE_HU,
            "high": window.high if window else DIFFERENCE_HU,
            "windowed": window is not None,
        }
        for name, hu, window in scans
    ]
    windows = {name: [w.low, w.high] for name, w in WINDOWS.items()}
    page = render("view.html.j2", title="Linked views", volumes=volumes, windows=windows, factor=factor)
    path.write_text(page, encoding="utf-8")
    return factor


def _averaged(hu: NDArray[Any], factor: int) -> NDArray[np.float32]:
    slices, rows, columns = hu.shape
    # Padding marks would darken the average at the rim of the field of view.
    blocks = np.maximum(hu, HU_MIN, dtype=np.float32).reshape(slices, rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _coarser(row: int, column: int, factor: int) -> NDArray[np.float64]:
    """Index of the full grid for that of the cropped and averaged one, acting on (i, j, k, 1)."""
    step = np.diag([float(factor), float(factor), 1.0, 1.0])
    step[:3, 3] = (column + (factor - 1) / 2, row + (factor - 1) / 2, 0)
    return step


def _nifti(volume: CTVolume) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "volume.nii.gz"
        write_volume_file(volume, file)
        return base64.b64encode(file.read_bytes()).decode("ascii")
