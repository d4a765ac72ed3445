"""What does strength do to low-contrast lesions? Lesions put into a scan, the real enhancer, a model observer.

Run again whenever weights change: `python tools/validate_detectability.py docs/validation/detectability.md`
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from med_stylesr.inference.bundle import BUNDLE_2D
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import ArraySlices, InPlane
from med_stylesr.inference.strength import SMOOTH
from med_stylesr.metrics.detectability import ObserverResult, Task
from med_stylesr.metrics.lesion_study import Process, lesion_study
from med_stylesr.service.demo import sample_root
from med_stylesr.service.reading import read_single

TASKS = (Task(6, -15), Task(6, -30), Task(4, -40))
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
INPUT = "input"
HEAD = """# What strength does to low-contrast lesions

Made by `tools/validate_detectability.py`. Bundle {bundle}, weights sha256
`{digest}`.

Disks put into {pairs} flat regions of soft tissue ({region:g} mm) of `{scan}`, {slices} slices,
blurred by {blur:g} mm (standard deviation). The scan is enhanced whole, with the lesions and without them; a
channelised Hotelling observer who knows signal and place tells the regions apart. AUC with its 95 % bootstrap
interval, d′ in brackets. **Bold: the interval lies below the AUC of the input: the lesion got harder to see.**
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
    parser.add_argument("--style", default="normal-dose")
    parser.add_argument("--pairs", type=int, default=260)
    parser.add_argument("--region-mm", type=float, default=14.0, help="twice the diameter of the largest lesion")
    parser.add_argument("--blur-mm", type=float, default=0.6, help="standard deviation of the scan's own blur")
    arguments = parser.parse_args()
    scan = read_single(arguments.scan)
    enhancer = Enhancer(arguments.bundle)
    bundle, runtime = enhancer.bundle(2), enhancer.runtime(2)
    processes: dict[str, Process] = {INPUT: lambda hu: hu}
    for style, strengths in ((arguments.style, STRENGTHS), (SMOOTH, (1.0,))):
        terms = Terms(runtime, style)
        for strength in strengths:
            processes[f"{style} {strength:g}"] = terms.at(strength)
    results = lesion_study(
        scan.hu,
        scan.spacing_mm,
        processes,
        TASKS,
        blur_mm=arguments.blur_mm,
        pairs=arguments.pairs,
        region_mm=arguments.region_mm,
    )
    told = HEAD.format(
        bundle=f"{bundle.name} {bundle.version}",
        digest=bundle.weights_sha256,
        pairs=results[TASKS[0]][INPUT].pairs,
        region=arguments.region_mm,
        scan=f"{arguments.scan.parent.name}/{arguments.scan.name}",
        slices=len(scan.hu),
        blur=arguments.blur_mm,
    )
    page = [told, *table(results, list(processes)), "", READING]
    arguments.page.write_text("\n".join(page) + "\n", encoding="utf-8")


class Terms:
    """Base and correction of a style for the last few scans, so that strengths cost one run of the network."""

    def __init__(self, runtime: Runtime, style: str) -> None:
        self._runtime, self._code = runtime, runtime.style_code(style)
        self._last: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None

    def at(self, strength: float) -> Process:
        """Processing at a strength."""

        def process(hu: NDArray[np.float32]) -> NDArray[np.float32]:
            digest = hash(hu.tobytes())
            if self._last is None or self._last[0] != digest:
                stage = InPlane(ArraySlices(hu), self._runtime, self._code, 1.0, (1, 1))
                self._last = (digest, *stage.base_and_correction(range(len(hu))))
            _, base, correction = self._last
            return np.asarray(base + strength * correction)

        return process


def table(results: dict[Task, dict[str, ObserverResult]], names: Sequence[str]) -> list[str]:
    """Markdown rows: a lesion a row, a way of processing a column."""
    lines = ["| lesion | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for task, mine in results.items():
        cells = []
        for name in names:
            found = mine[name]
            told = f"{found.auc:.3f} [{found.auc_low:.3f}, {found.auc_high:.3f}] ({found.d_prime:.2f})"
            cells.append(f"**{told}**" if found.auc_high < mine[INPUT].auc else told)
        lines.append(f"| {task.diameter_mm:g} mm, {task.contrast_hu:+g} HU | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
