"""Plots inside a report, as scalable pictures in `data:` addresses."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.metrics.bias import BlandAltman
from med_stylesr.metrics.resolution import TransferFunction
from med_stylesr.metrics.texture import RadialProfile
from med_stylesr.report.display import bytes_uri

# Okabe & Ito's palette: told apart with colour-blind eyes; line styles differ as well, for print in grey.
_STYLES = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#56B4E9", "-"),
    ("#000000", "--"),
)


def nps_plot(profiles: Mapping[str, RadialProfile]) -> str:
    """Radial noise power spectra, one line a name."""
    figure, axis = _axes("Spatial frequency (1/mm)", "Noise power (HU² mm²)")
    for (name, profile), (colour, line) in zip(profiles.items(), _STYLES, strict=False):
        axis.plot(profile.frequency_per_mm, profile.power, line, color=colour, label=name)
    if any((profile.power > 0).any() for profile in profiles.values()):
        # Anatomy at the lowest frequencies would hide the noise above them.
        axis.set_yscale("log")
    return _finish(figure, axis)


def ttf_plot(functions: Mapping[str, TransferFunction]) -> str:
    """Transfer functions, one line a name."""
    figure, axis = _axes("Spatial frequency (1/mm)", "Transfer")
    for (name, ttf), (colour, line) in zip(functions.items(), _STYLES, strict=False):
        axis.plot(ttf.frequency_per_mm, ttf.value, line, color=colour, label=name)
    axis.axhline(0.5, color="#888", linewidth=0.7)
    axis.set_ylim(0, 1.3)
    return _finish(figure, axis)


def curve_plot(points: Sequence[tuple[float, float]], x_label: str, y_label: str, marked: float | None = None) -> str:
    """A curve through points, such as noise over strength, with the value in use marked."""
    figure, axis = _axes(x_label, y_label)
    x, y = zip(*points, strict=True)
    axis.plot(x, y, "o-", color=_STYLES[0][0], label=y_label)
    if marked is not None:
        axis.axvline(marked, color=_STYLES[1][0], linestyle="--", label=f"used: {marked:.2f}")
    return _finish(figure, axis)


def bland_altman_plot(agreement: BlandAltman, groups: Sequence[str]) -> str:
    """Difference over mean, one colour a group, with bias and limits of agreement."""
    figure, axis = _axes("Mean of both (HU)", "Difference (HU)")
    labels = np.asarray(groups)
    for name, (colour, _) in zip(dict.fromkeys(groups), _STYLES, strict=False):
        mine = labels == name
        axis.plot(agreement.mean[mine], agreement.difference[mine], "o", color=colour, label=name, markersize=4)
    for level, line in ((agreement.bias, "-"), (agreement.low, "--"), (agreement.high, "--")):
        axis.axhline(level, color="#444", linestyle=line, linewidth=0.8)
    return _finish(figure, axis)


def overlay_plot(
    image: NDArray[Any], z: NDArray[Any], extent_mm: tuple[float, float], window: tuple[float, float]
) -> str:
    """Grey slice with the places of unusual change (|z| > 3) in colour."""
    figure, axis = _axes("", "", size=(4.6, 4.6 * extent_mm[1] / extent_mm[0] + 0.2))
    extent = (0.0, extent_mm[0], extent_mm[1], 0.0)
    axis.imshow(image, "gray", vmin=window[0], vmax=window[1], extent=extent)
    shown = axis.imshow(
        np.ma.masked_inside(z, -3, 3), "RdBu_r", vmin=-8, vmax=8, extent=extent, interpolation="nearest"
    )
    axis.set_axis_off()
    figure.colorbar(shown, ax=axis, fraction=0.04, label="standard deviations (red: added)")
    return _uri(figure, "png")


def heat_plot(values: NDArray[Any], extent_mm: tuple[float, float], label: str) -> str:
    """A map of values from 0 up in colours that stay ordered in grey print; the brightest 0.1 % are cut off."""
    figure, axis = _axes("", "", size=(4.6, 4.6 * extent_mm[1] / extent_mm[0] + 0.2))
    top = max(float(np.nanpercentile(values, 99.9)), 1e-3) if np.isfinite(values).any() else 1.0
    extent = (0.0, extent_mm[0], extent_mm[1], 0.0)
    shown = axis.imshow(values, "viridis", vmin=0, vmax=top, extent=extent)
    axis.set_axis_off()
    figure.colorbar(shown, ax=axis, fraction=0.04, label=label)
    return _uri(figure, "png")


def auc_plot(values: Mapping[str, tuple[float, float, float]]) -> str:
    """Area under the ROC curve with its interval, one row a name; a line at that of the first.

    Args:
        values: name → (AUC, lower end, upper end).
    """
    figure, axis = _axes("AUC", "", size=(5.2, 0.9 + 0.34 * len(values)))
    for row, ((auc, low, high), (colour, _)) in enumerate(zip(values.values(), itertools.cycle(_STYLES), strict=False)):
        axis.errorbar(auc, -row, xerr=[[auc - low], [high - auc]], fmt="o", color=colour, capsize=3)
    axis.axvline(next(iter(values.values()))[0], color="#888", linewidth=0.8, linestyle="--")
    axis.set_yticks([-row for row in range(len(values))], list(values))
    return _framed(figure, axis)


def region_grid(rows: Sequence[tuple[str, Mapping[str, NDArray[Any]], tuple[float, float]]]) -> bytes:
    """PNG of small square regions: rows with their own grey window, a column for each name.

    Args:
        rows: (label, name → HU (rows, columns), (lowest, highest HU of the window)), all with the same names.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(rows[0][1])
    figure = Figure(figsize=(1.3 + 1.15 * len(names), 0.4 + 1.15 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(names), squeeze=False)
    for (label, images, (low, high)), line in zip(rows, axes, strict=True):
        line[0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
        for name, axis in zip(names, line, strict=True):
            axis.imshow(images[name], "gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
    for name, axis in zip(names, axes[0], strict=True):
        axis.set_title(name.replace(" ", "\n", 1), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _axes(x_label: str, y_label: str, size: tuple[float, float] = (5.2, 3.2)) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    return figure, axis


def _finish(figure: Any, axis: Any) -> str:
    axis.legend(frameon=False, fontsize=8)
    return _framed(figure, axis)


def _framed(figure: Any, axis: Any) -> str:
    axis.grid(alpha=0.25)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return _uri(figure, "svg")


def _uri(figure: Any, kind: str) -> str:
    buffer = io.BytesIO()
    # Equal figures give equal files: no date, fixed ids.
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "med-stylesr"}):
        figure.savefig(buffer, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return bytes_uri(buffer.getvalue(), "image/svg+xml" if kind == "svg" else "image/png")
