"""Before, after and their difference in one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.hu import WINDOWS
from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity
from med_stylesr.metrics.regions import body_mask, spread_indices
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.display import signed
from med_stylesr.report.measures import PairMeasures, measure_pair
from med_stylesr.volume import CTVolume

SCALE_BAR_MM = 50
_DIFFERENCE_SHARE = 0.1
"""Half range of the difference panel as a share of the window's width."""
_PANEL_INCH = 4.0
_BACKGROUND, _INK = "#111417", "#e8eaed"


@dataclass(frozen=True)
class Comparison:
    """A scan before and after, measured once, from which pictures are made.

    Attributes:
        before: the input.
        after: the result, on any grid of the same patient space.
        reference: the normal-dose partner, if there is one.
        names: captions of before, after and reference.
        known: figures of the pair; measured when left out.
        noise_told: whether the picture tells the noise of both; not where the second was not made from the first.
    """

    before: CTVolume
    after: CTVolume
    reference: CTVolume | None = None
    names: tuple[str, str, str] = ("low dose", "enhanced", "normal dose")
    known: PairMeasures | None = None
    noise_told: bool = True

    @cached_property
    def measures(self) -> PairMeasures:
        """Figures of the pair."""
        return self.known or measure_pair(self.pair)

    @property
    def pair(self) -> AlignedPair:
        """Before and after on common positions."""
        return AlignedPair(self.before, self.after)

    def figures(self) -> dict[str, str]:
        """What was measured, in words: noise before and after, largest HU shift, texture."""
        m = self.measures
        facts = {
            f"Noise, {self.names[0]}": _hu(m.noise_before_hu),
            f"Noise, {self.names[1]}": _hu(m.noise_after_hu),
        }
        if m.worst_shift:
            facts["Largest shift of a tissue's mean"] = f"{signed(m.worst_shift[1])} HU ({m.worst_shift[0]})"
        if m.nps_before and m.nps_after:
            facts["Mean noise frequency"] = f"{m.nps_before.mean_per_mm:.2f} → {m.nps_after.mean_per_mm:.2f} /mm"
        return facts

    def write_png(
        self, path: Path, *, slice_index: int | None = None, windows: Sequence[str] = ("lung", "soft tissue")
    ) -> None:
        """Write a picture: a row a window, columns before | after | reference | after − before.

        Args:
            path: PNG to write.
            slice_index: slice of `before`; its body-richest one when left out.
            windows: names in `med_stylesr.hu.WINDOWS`.
        """
        k = fullest_slice(self.before.hu) if slice_index is None else slice_index
        path.write_bytes(self.png(k, windows))

    @property
    def panel_names(self) -> list[str]:
        """What stands in a row of the picture, from left to right."""
        shown = [self.names[0], self.names[1]]
        if self.reference is not None:
            shown.append(self.names[2])
        return [*shown, f"{self.names[1]} − {self.names[0]}"]

    def png(self, k: int, windows: Sequence[str]) -> bytes:
        """PNG file of slice k, a row a window, columns before | after | reference | after − before."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        low, fine, common = self.before.hu[k].astype(np.float32), self.pair.fine(k), self.pair.common(k)
        images, factors = [low, fine], [1, self.pair.factor]
        normal: NDArray[np.float32] | None = None
        if self.reference is not None:
            normal = AlignedPair(self.before, self.reference).common(k)
            images.append(normal)
            factors.append(1)
        box = body_box(self.before.hu[k : k + 1], self.before.spacing_mm)
        height_mm, width_mm = ((s.stop - s.start) * mm for s, mm in zip(box, self.before.spacing_mm[1:], strict=True))
        columns, tall = len(images) + 1, _PANEL_INCH * height_mm / width_mm
        width, height = _PANEL_INCH * columns + 0.3, tall * len(windows) + 0.75
        figure = Figure(figsize=(width, height), facecolor=_BACKGROUND)
        FigureCanvasAgg(figure)
        options: dict[str, Any] = {"extent": (0.0, width_mm, height_mm, 0.0), "interpolation": "antialiased"}
        for row, name in enumerate(windows):
            window, limit = WINDOWS[name], WINDOWS[name].width * _DIFFERENCE_SHARE
            for column in range(columns):
                left, bottom = 0.3 + column * _PANEL_INCH, (len(windows) - 1 - row) * tall
                axis = figure.add_axes(
                    (left / width, bottom / height, (_PANEL_INCH - 0.04) / width, (tall - 0.04) / height)
                )
                axis.set_axis_off()
                if column < len(images):
                    image = images[column][_refined(box, factors[column])]
                    axis.imshow(image, "gray", vmin=window.low, vmax=window.high, **options)
                else:
                    axis.imshow((common - low)[box], "RdBu_r", vmin=-limit, vmax=limit, **options)
                    note = f"±{limit:g} HU, red: higher"
                    axis.text(
                        0.03, 0.03, note, color="black", fontsize=9, transform=axis.transAxes, backgroundcolor="w"
                    )
                if row == 0:
                    axis.set_title(self.panel_names[column], color=_INK, fontsize=11)
                if row == len(windows) - 1 and column == 0:
                    _scale_bar(axis, width_mm, height_mm)
            middle = (len(windows) - 0.5 - row) * tall / height
            label = f"{name}: C {window.center:g}, W {window.width:g}"
            figure.text(0.1 / width, middle, label, color=_INK, fontsize=10, rotation=90, va="center")
        headline = self._headline(k, low, common, normal)
        figure.text(0.5, 1 - 0.1 / height, headline, color=_INK, fontsize=11, va="top", ha="center")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, facecolor=_BACKGROUND)
        return buffer.getvalue()

    def _headline(
        self, k: int, low: NDArray[np.float32], after: NDArray[np.float32], normal: NDArray[np.float32] | None
    ) -> str:
        m = self.measures
        parts = [f"slice {k + 1}"]
        if self.noise_told:
            parts.append(f"noise {_hu(m.noise_before_hu)} → {_hu(m.noise_after_hu)}")
        if m.worst_shift:
            parts.append(f"largest tissue shift {signed(m.worst_shift[1])} HU")
        if normal is not None and np.isfinite(normal).all() and np.isfinite(after).all():
            convention = CONVENTIONS["redcnn"]
            scores = [slice_fidelity(x, normal, convention) for x in (low, after)]
            parts.append("PSNR in −160…240 HU {:.1f} → {:.1f} dB".format(*(s["psnr_db"] for s in scores)))
            parts.append("SSIM {:.3f} → {:.3f}".format(*(s["ssim"] for s in scores)))
        return "   ·   ".join(parts)


def fullest_slice(hu: NDArray[Any]) -> int:
    """Slice with the most body in it, of those in the middle two thirds of the scan."""
    total = hu.shape[0]
    start = total // 6
    chosen = [start + k for k in spread_indices(max(1, total - 2 * start), 12)]
    area = body_mask(hu[chosen]).sum(axis=(1, 2))
    best: int = chosen[int(area.argmax())]
    return best


def body_box(hu: NDArray[Any], spacing_mm: tuple[float, float, float], margin_mm: float = 10.0) -> tuple[slice, slice]:
    """Rows and columns that hold the body of all slices and a margin; everything where there is no body."""
    body = np.logical_or.reduce(body_mask(hu))
    if not body.any():
        return slice(0, hu.shape[1]), slice(0, hu.shape[2])
    bounds = []
    for used, mm in zip(np.nonzero(body), spacing_mm[1:], strict=True):
        margin = int(margin_mm / mm)
        bounds.append(slice(max(0, int(used.min()) - margin), int(used.max()) + 1 + margin))
    size = body.shape
    return slice(bounds[0].start, min(bounds[0].stop, size[0])), slice(bounds[1].start, min(bounds[1].stop, size[1]))


def _refined(box: tuple[slice, slice], factor: int) -> tuple[slice, slice]:
    rows, columns = (slice(s.start * factor, s.stop * factor) for s in box)
    return rows, columns


def _hu(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.1f} HU"


def _scale_bar(axis: Any, width_mm: float, height_mm: float) -> None:
    left, top = 0.05 * width_mm, 0.95 * height_mm
    axis.plot([left, left + SCALE_BAR_MM], [top, top], color="white", linewidth=2.5)
    axis.text(left, top - 0.015 * height_mm, f"{SCALE_BAR_MM} mm", color="white", fontsize=8, va="bottom")
