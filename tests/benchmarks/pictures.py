"""The figures of the benchmark as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks import pooling
from benchmarks.pooling import Records
from benchmarks.scans import Hu
from numpy.typing import NDArray

WINDOWS: Final = {"soft": (40.0, 400.0), "lung": (-600.0, 1500.0)}
"""Centre and width in HU."""
DIFFERENCE_HU: Final = {"soft": 60.0, "lung": 150.0}
# Okabe & Ito's palette: told apart with colour-blind eyes; line styles differ too.
_LINES: Final = (
    ("#000000", "-"),
    ("#D55E00", "--"),
    ("#0072B2", "-"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#E69F00", "--"),
    ("#56B4E9", "-"),
)


def montage(path: Path, images: Mapping[str, NDArray[Any]], normal: str, window: str, edge: int = 256) -> None:
    """Slices side by side in one window; below each its difference from normal dose.

    Args:
        path: PNG to write.
        images: name → slice in HU.
        normal: name of the one that the others are compared with.
        window: key of `WINDOWS`.
        edge: rows and columns of the piece shown, from the middle.
    """
    centre, width = WINDOWS[window]
    figure, axes = _figure(len(images), 2, (1.75 * len(images), 3.9))
    for column, (name, image) in enumerate(images.items()):
        top, left = (max(0, (n - edge) // 2) for n in image.shape)
        piece = np.s_[top : top + edge, left : left + edge]
        axes[0, column].imshow(image[piece], "gray", vmin=centre - width / 2, vmax=centre + width / 2)
        axes[0, column].set_title(name.replace("`", ""), fontsize=8)
        limit = DIFFERENCE_HU[window]
        axes[1, column].imshow((image - images[normal])[piece], "RdBu_r", vmin=-limit, vmax=limit)
    for axis in axes.flat:
        axis.set_axis_off()
    low, high = centre - width / 2, centre + width / 2
    figure.text(
        0.005,
        0.005,
        f"Above: {low:g} … {high:g} HU. Below: difference from {normal}, ±{DIFFERENCE_HU[window]:g} HU.",
        fontsize=7,
    )
    figure.savefig(path, dpi=130)


def nps(path: Path, records: Mapping[str, Records], labels: Mapping[str, str], scans: Sequence[str]) -> None:
    """Noise power spectra of several methods on several scans, with that of normal dose."""
    figure, axes = _figure(len(scans), 1, (4.0 * len(scans), 3.2))
    for axis, scan in zip(axes.flat, scans, strict=True):
        for index, (name, label) in enumerate(labels.items()):
            spectrum = records[name][scan]["spectrum"]
            colour, line = _LINES[(index + 1) % len(_LINES)]
            axis.plot(spectrum["frequency_per_mm"], spectrum["power"], line, color=colour, label=label.replace("`", ""))
            if index == 0:
                reference = spectrum["reference_power"]
                axis.plot(spectrum["frequency_per_mm"], reference, color="#000000", linewidth=2.2, label="normal dose")
        axis.set_yscale("log")
        axis.set_title(scan, fontsize=9)
        _label(axis, "Spatial frequency (1/mm)", "Noise power (HU² mm²)")
    axes.flat[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=120)


def strength(path: Path, results: Mapping[str, Any]) -> None:
    """Noise left over strength, and what `--dose F` leaves against √F."""
    figure, axes = _figure(2, 1, (8.0, 3.4))
    for (scan, result), (colour, line) in zip(results.items(), _LINES, strict=False):
        curve = {float(s): v for s, v in result["strength"].items() if v is not None}
        told = {float(d): v for d, v in result["dose"].items() if v is not None}
        axes[0, 0].plot(list(curve), list(curve.values()), "o" + line, color=colour, label=scan, markersize=3)
        axes[0, 1].plot(list(told), list(told.values()), "o" + line, color=colour, markersize=3)
    fractions = np.linspace(0.05, 0.6, 50)
    axes[0, 1].plot(fractions, np.sqrt(fractions), color="#888888", linewidth=3, alpha=0.5, label="√F")
    axes[0, 0].axhline(0.5, color="#888888", linewidth=0.8)
    _label(axes[0, 0], "Strength, quarter dose", "Noise left (amplitude)")
    _label(axes[0, 1], "F of --dose F", "Noise left (amplitude)")
    for axis in axes.flat:
        axis.set_ylim(0, 1.05)
        axis.legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=120)


def profiles(path: Path, volumes: Mapping[str, Hu], slice_mm: float, place: tuple[int, int]) -> None:
    """HU along the slice axis through one place, and a coronal cut of each method.

    Args:
        path: PNG to write.
        volumes: method → HU (slices, rows, columns) on one grid.
        slice_mm: distance of slices.
        place: row and column.
    """
    figure, axes = _figure(len(volumes) + 1, 1, (2.2 * (len(volumes) + 2), 3.4), widths=[3.0, *[1.6] * len(volumes)])
    row, column = place
    for (name, volume), (colour, line) in zip(volumes.items(), _LINES, strict=False):
        z = np.arange(len(volume)) * slice_mm
        axes[0, 0].plot(z, volume[:, row, column], line, color=colour, label=name.replace("`", ""), linewidth=1.2)
    _label(axes[0, 0], "Along the patient (mm)", "HU")
    axes[0, 0].legend(frameon=False, fontsize=7)
    for axis, (name, volume) in zip(axes.flat[1:], volumes.items(), strict=True):
        axis.imshow(volume[:, row], "gray", vmin=-1000, vmax=300, aspect="auto", interpolation="nearest")
        axis.axvline(column, color="#E69F00", linewidth=0.5)
        axis.set_title(name.replace("`", ""), fontsize=8)
        axis.set_axis_off()
    figure.savefig(path, dpi=120)


def steepest(normal: Hu) -> tuple[int, int]:
    """Place whose HU vary most along the slice axis after smoothing in plane: a dome of the diaphragm, not noise."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(normal.astype(np.float32), (0, 4, 4))
    jump = np.abs(np.diff(smooth, axis=0)).max(axis=0)
    edge = min(jump.shape) // 5
    inner = np.zeros(jump.shape, dtype=bool)
    inner[edge:-edge, edge:-edge] = True
    jump = np.where(inner, jump, 0)
    row, column = np.unravel_index(int(jump.argmax()), jump.shape)
    return int(row), int(column)


def scans_with_spectra(records: Records, count: int) -> list[str]:
    """Scans with the most flat regions."""
    found = [(r["spectrum"]["regions"], scan) for scan, r in records.items() if r["spectrum"]]
    return [scan for _, scan in sorted(found, reverse=True)[:count]]


def mean_psnr(records: Records) -> float:
    """Mean PSNR over scans in the RED-CNN convention, for titles."""
    return pooling.mean(pooling.fidelity(records, "redcnn", "psnr_db"))


def _figure(columns: int, rows: int, size: tuple[float, float], widths: Sequence[float] | None = None) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, width_ratios=widths)


def _label(axis: Any, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
