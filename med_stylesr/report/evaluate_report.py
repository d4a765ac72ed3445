"""The page that `evaluate` writes: methods side by side against the reference, and a viewer of one scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    picture = Comparison(reference, image, names=(*names, ""))
    k = fullest_slice(reference.hu)
    page = render(
        "evaluate.html.j2",
        title="Evaluation against normal dose",
        names=names,
        scan=scan,
        headlines=HEADLINES,
        conventions=CONVENTIONS,
        document=document,
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
