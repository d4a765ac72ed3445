"""The page on low-contrast lesions: `med-stylesr lesions` on the sample scan, its lesions.json as Markdown.

Run again whenever weights change: `python tools/validate_detectability.py docs/validation/detectability.md`
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.report.lesion_report import lesion_name
from med_stylesr.service.demo import sample_root
from med_stylesr.service.lesions import INPUT, LesionPlan, study_lesions

HEAD = """# What strength does to low-contrast lesions

Made by `tools/validate_detectability.py`. Bundle {bundle[name]} {bundle[version]}, weights sha256
`{bundle[weights_sha256]}`.

Disks put into {pairs} flat regions of soft tissue ({region_mm:g} mm) of `{scan}`, {slices} slices,
blurred by {blur_mm:g} mm (standard deviation). The scan is enhanced whole, with the lesions and without them; a
channelised Hotelling observer who knows signal and place tells the regions apart. AUC with its 95 % bootstrap
interval, d′ in brackets, and the share of the contrast that is left. **Bold: the interval lies below the AUC of the
input: the lesion got harder to see.**
"""
READING = """How to read it: an observer who knows everything gains nothing from less noise alone, since it could have
filtered by itself; so keeping the AUC is the aim, and a fall means that lesions went out with the noise. A human
reader is no such observer. The regions of the default scan lie in one chest, whose other slices the weights have
seen, and its noise is simulated. Lesions are disks, real ones are not."""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--scan", type=Path, default=sample_root() / "quarter_dose", help="low-dose scan")
    parser.add_argument("--bundle", default=BUNDLE_2D)
    parser.add_argument("--style", nargs="+", default=["normal-dose", "smooth"])
    parser.add_argument("--dose", type=float, default=0.25, help="fraction of normal dose of the scan")
    arguments = parser.parse_args()
    plan = LesionPlan(
        scan=arguments.scan,
        sizes_mm=[4, 6],
        contrasts_hu=[-15, -30],
        styles=arguments.style,
        strengths=[0.5, 1],
        dose_fraction=arguments.dose,
        pairs=260,
        blur_mm=0.6,
    )
    document, _ = study_lesions(plan, Enhancer(arguments.bundle), lambda event: None)
    page = [HEAD.format_map(document), *table(document), "", READING]
    arguments.page.write_text("\n".join(page) + "\n", encoding="utf-8")


def table(document: Mapping[str, Any]) -> list[str]:
    """Markdown rows: a way of processing a row, a lesion a column."""
    lesions = document["lesions"]
    names = [lesion_name(each["diameter_mm"], each["contrast_hu"]) for each in lesions]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for way in document["ways"]:
        cells = [cell(each["results"][way], way == INPUT) for each in lesions]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return lines


def cell(found: Mapping[str, Any], unprocessed: bool) -> str:
    """AUC with interval, d′ and, unless nothing was done, the contrast left."""
    told = f"{found['auc']:.3f} [{found['auc_low']:.3f}, {found['auc_high']:.3f}] ({found['d_prime']:.2f})"
    told = f"**{told}**" if found["harder_to_see"] else told
    return told if unprocessed else f"{told} {found['contrast_kept']:.0%}"


if __name__ == "__main__":
    main()
