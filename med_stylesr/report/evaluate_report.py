"""The page that `evaluate` writes: methods side by side against the reference, and a viewer of one scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from med_stylesr.metrics.bias import bland_altman
from med_stylesr.metrics.fidelity import CONVENTIONS
from med_stylesr.report.against_reference import Case
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.comparison import Comparison, fullest_slice
from med_stylesr.report.display import bytes_uri
from med_stylesr.report.figures import bland_altman_plot, nps_plot, ttf_plot
from med_stylesr.report.methods import HEADLINES
from med_stylesr.report.pages import render
from med_stylesr.report.slides import slides
from med_stylesr.volume import CTVolume

WORDS: Final = {
    "noise_sd_hu": "local SD in soft tissue (HU)",
    "reference_noise_sd_hu": "local SD in soft tissue, normal dose (HU)",
    "regions": "regions of the noise spectra",
    "roi_noise_sd_hu": "SD in those regions (HU)",
    "reference_roi_noise_sd_hu": "SD in those regions, normal dose (HU)",
    "cosine": "cosine of the noise spectra, image and normal dose",
    "pixels_per_reference_pixel": "pixels per pixel of normal dose",
    "image_mean_per_mm": "mean frequency of the noise (1/mm)",
    "image_peak_per_mm": "peak frequency of the noise (1/mm)",
    "reference_mean_per_mm": "mean frequency of the noise, normal dose (1/mm)",
    "reference_peak_per_mm": "peak frequency of the noise, normal dose (1/mm)",
    "image_edge_width_through_plane_mm": "width of edges through plane (mm)",
    "reference_edge_width_through_plane_mm": "width of edges through plane, normal dose (mm)",
    "image_f50_per_mm": "f50 at the skin (1/mm)",
    "image_f10_per_mm": "f10 at the skin (1/mm)",
    "reference_f50_per_mm": "f50 at the skin, normal dose (1/mm)",
    "reference_f10_per_mm": "f10 at the skin, normal dose (1/mm)",
    "frc_boxes": "boxes of the scanning Fourier ring correlation",
    "frc_flagged": "boxes that lose normal dose below 0.15 /mm",
    "frc_median_cutoff_per_mm": "frequency up to which a box agrees, median (1/mm)",
    "residual_structure": "structure in what was removed (R²)",
    "structure_loss": "structure in what was removed, in blurs of one pixel",
}
"""Keys of metrics.json as a reader's words; docs/explanation/metrics.md explains each."""


def write_evaluation_page(
    path: Path,
    document: Mapping[str, Any],
    cases: Mapping[str, Mapping[str, Case]],
    shown: tuple[str, CTVolume, CTVolume],
) -> None:
    """Write the self-contained page.

    Args:
        path: HTML file to write.
        document: content of metrics.json.
        cases: method → scan → case: the curves of the first scan are drawn.
        shown: name, reference and result of the scan in the viewer.
    """
    scan, reference, image = shown
    names = ("normal dose", "enhanced")
    pair = AlignedPair(reference, image)
    picture = Comparison(reference, image, names=(*names, ""), noise_told=False)
    k = fullest_slice(reference.hu)
    page = render(
        "evaluate.html.j2",
        title="Evaluation against normal dose",
        names=names,
        scan=scan,
        headlines=HEADLINES,
        conventions=CONVENTIONS,
        document=document,
        words=WORDS,
        plots=_plots(cases, scan),
        picture=bytes_uri(picture.png(k, ("lung", "soft tissue")), "image/png"),
        picture_caption=f"{scan}, slice {k + 1}: {names[0]}, {names[1]} and their difference",
        viewer=slides(pair, names=names),
    )
    path.write_text(page, encoding="utf-8")


def _plots(cases: Mapping[str, Mapping[str, Case]], scan: str) -> list[tuple[str, str]]:
    measured = {method: mine[scan] for method, mine in cases.items() if scan in mine}
    plots: list[tuple[str, str]] = []
    spectra = {m: case.spectra["image"] for m, case in measured.items() if case.spectra}
    if spectra:
        normal = next(case.spectra["reference"] for case in measured.values() if case.spectra)
        plots.append((nps_plot({"normal dose": normal, **spectra}), f"Noise power spectra, {scan}"))
    transfers = {m: case.transfers["image"] for m, case in measured.items() if "image" in case.transfers}
    known = [case.transfers["reference"] for case in measured.values() if "reference" in case.transfers]
    if transfers and known:
        plots.append((ttf_plot({"normal dose": known[0], **transfers}), f"Transfer functions at the skin, {scan}"))
    for method, mine in cases.items():
        rows = [
            (tissue, row["image_hu"], row["reference_hu"])
            for case in mine.values()
            for tissue, row in case.figures["bias"].items()
        ]
        if len(rows) >= 3:
            agreement = bland_altman(np.array([r[1] for r in rows]), np.array([r[2] for r in rows]))
            caption = f"Bland–Altman, {method} − normal dose: tissue means of all scans"
            plots.append((bland_altman_plot(agreement, [r[0] for r in rows]), caption))
    return plots
