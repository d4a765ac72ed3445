"""The report that `enhance` writes beside a result: what changed, judged without a reference, in one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from med_stylesr.hu import WINDOWS
from med_stylesr.metrics.hallucination import oddity_map
from med_stylesr.metrics.regions import body_mask
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.checks import checks
from med_stylesr.report.comparison import Comparison, body_box, fullest_slice
from med_stylesr.report.display import bytes_uri
from med_stylesr.report.figures import curve_plot, heat_plot, nps_plot, overlay_plot, ttf_plot
from med_stylesr.report.gain import gains
from med_stylesr.report.measures import PairMeasures, measure_pair
from med_stylesr.report.pages import render
from med_stylesr.report.slides import DEFAULT_SLICES, slides
from med_stylesr.volume import CTVolume

STRENGTH_CURVE = "strength_curve"
"""Key in the facts: [(strength, noise in HU), …]; drawn as a curve."""
NORMAL = "normal dose"
"""Caption of a reference."""
NOISE = "noise_before_hu"
"""Key in the facts: noise of the input, as it was measured to decide on the strength."""
_TOLD_ABOVE = (STRENGTH_CURVE, NOISE, "noise_after_hu")
"""Facts that the page tells elsewhere; a second number for the noise of the result would be an expectation, not it."""
STRENGTH = "strength"
"""Key in the facts: the strength in use; marked in that curve."""


def write_enhance_report(
    path: Path,
    before: CTVolume,
    after: CTVolume,
    facts: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("low dose", "enhanced"),
    title: str = "Enhancement report",
    reference: CTVolume | None = None,
    uncertainty: CTVolume | None = None,
    max_slices: int = DEFAULT_SLICES,
) -> None:
    """Write one self-contained HTML page about an enhanced scan.

    Summary against stated limits, pictures, a viewer with linked windows and a montage, spectra, HU table, maps of
    unusual changes and of uncertainty, provenance. Grids may differ: the scans are compared on the positions of
    `before`.

    Args:
        path: HTML file to write.
        before: the input.
        after: the result.
        facts: provenance to print: names to values; nested mappings are flattened. `strength_curve` and `strength` also
            give a plot, `noise_before_hu` is the noise that the page tells.
        names: captions of both scans.
        title: heading.
        reference: normal-dose partner, if there is one: the page then tells how much nearer to it the result is.
        uncertainty: standard deviation in HU, on the grid of `after`; drawn for one slice.
        max_slices: slices in the viewer; fewer when they would take more than `slides.SIZE_LIMIT_BYTES`.
    """
    pair = AlignedPair(before, after)
    # Pictures are compressed while the rest is measured and drawn.
    pool = ThreadPoolExecutor(1)
    viewer = pool.submit(slides, pair, names=names, max_slices=max_slices)
    pool.shutdown(wait=False)
    measures = measure_pair(pair, facts.get(NOISE))
    comparison = Comparison(before, after, reference, names=(*names, NORMAL), known=measures)
    normal = measure_pair(AlignedPair(before, reference)) if reference else None
    shown = fullest_slice(before.hu)
    windows = ("lung", "soft tissue")
    plots = []
    if measures.nps_before and measures.nps_after:
        spectra = {names[0]: measures.nps_before, names[1]: measures.nps_after}
        spectra |= {NORMAL: normal.nps_after} if normal and normal.nps_after else {}
        plots.append((nps_plot(spectra), f"Radial noise power spectra of {len(measures.rois)} flat regions"))
    if measures.ttf_before and measures.ttf_after:
        transfers = {names[0]: measures.ttf_before, names[1]: measures.ttf_after}
        transfers |= {NORMAL: normal.ttf_after} if normal and normal.ttf_after else {}
        plots.append((ttf_plot(transfers), "Transfer functions at the border of skin and air"))
    if facts.get(STRENGTH_CURVE):
        curve = curve_plot(facts[STRENGTH_CURVE], "Strength", "Noise (HU)", facts.get(STRENGTH))
        plots.append((curve, "Noise at each strength"))
    if measures.odd_share is not None:
        words = "where the change is more than noise (red: added, blue: removed)"
        plots.append((_oddity_picture(pair, measures.oddest), f"Slice {measures.oddest + 1}: {words}"))
    if uncertainty is not None:
        words = "uncertainty, the standard deviation over four mirror images"
        plots.append((_uncertainty_picture(AlignedPair(before, uncertainty), shown), f"Slice {shown + 1}: {words}"))
    page = render(
        "enhance.html.j2",
        title=title,
        names=names,
        gains=gains(before, after, reference) if reference else [],
        checks=checks(measures),
        picture=bytes_uri(comparison.png(shown, windows), "image/png"),
        picture_caption=f"Slice {shown + 1} of {before.hu.shape[0]}: {', '.join(comparison.panel_names)}; "
        f"windows {' and '.join(windows)}",
        shifts=measures.shifts,
        bands=measures.bands,
        plots=plots,
        viewer=viewer.result(),
        facts=flat_facts({k: v for k, v in facts.items() if k not in _TOLD_ABOVE}),
        metrics=machine_readable(measures),
    )
    path.write_text(page, encoding="utf-8")


def machine_readable(measures: PairMeasures) -> dict[str, Any]:
    """The figures of a pair as plain JSON values; NaN becomes null."""
    table: dict[str, Any] = {
        "noise_before_hu": measures.noise_before_hu,
        "noise_after_hu": measures.noise_after_hu,
        "shifts": {name: {**asdict(s), "shift_hu": s.shift_hu} for name, s in measures.shifts.items()},
        "bands": measures.bands,
        "f50_per_mm": measures.f50_per_mm,
        "structure_loss": measures.structure_loss,
        "odd_share": measures.odd_share,
    }
    for key, profile in (("nps_before", measures.nps_before), ("nps_after", measures.nps_after)):
        table[key] = profile and {
            "mean_per_mm": profile.mean_per_mm,
            "peak_per_mm": profile.peak_per_mm,
            "frequency_per_mm": profile.frequency_per_mm.tolist(),
            "power_hu2_mm2": profile.power.tolist(),
        }
    plain: dict[str, Any] = json.loads(json.dumps(table), parse_constant=lambda _: None)
    return plain


def flat_facts(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested provenance as one level of text: `model.weights` → value."""
    table: dict[str, str] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            table |= flat_facts(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            table[prefix + str(key)] = f"{value + 0.0:.4g}"
        elif isinstance(value, (list, tuple)):
            for n, item in enumerate(value):
                if isinstance(item, Mapping):
                    table |= flat_facts(item, f"{prefix}{key} {n + 1}.")
            plain = [str(item) for item in value if not isinstance(item, Mapping)]
            table |= {prefix + str(key): ", ".join(plain)} if plain else {}
        elif value is not None:
            table[prefix + str(key)] = str(value)
    return table


def _oddity_picture(pair: AlignedPair, k: int) -> str:
    before = pair.first.hu[k : k + 1].astype(np.float32)
    after = pair.common(k)[None]
    body = body_mask(before) & np.isfinite(after)
    z = oddity_map(before, np.where(body, after, before), pair.first.spacing_mm, body)[0]
    box, size_mm = _shown(pair, k)
    window = WINDOWS["soft tissue"]
    return overlay_plot(before[0][box], z[box], size_mm, (window.low, window.high))


def _uncertainty_picture(pair: AlignedPair, k: int) -> str:
    box, size_mm = _shown(pair, k)
    return heat_plot(pair.common(k)[box], size_mm, "standard deviation (HU)")


def _shown(pair: AlignedPair, k: int) -> tuple[tuple[slice, slice], tuple[float, float]]:
    """The body's box in slice k of the first scan, and its width and height in mm."""
    box = body_box(pair.first.hu[k : k + 1], pair.first.spacing_mm)
    height, width = ((s.stop - s.start) * mm for s, mm in zip(box, pair.first.spacing_mm[1:], strict=True))
    return box, (width, height)
