"""Do the CT encoder's features mean something? Held-out scans with more noise, more blur, another kernel.

Run from the repository's root: `python tools/validate_encoder.py cache/validation docs/validation/encoder.md`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan, open_cache
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.metrics.distribution import frechet_distance, kernel_distance
from med_stylesr.metrics.regions import body_mask, spread_indices
from med_stylesr.report.ct_features import square_features

DOSES = (0.5, 0.25, 0.1)
BLURS = (0.5, 1.0, 2.0)


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path, help="cache of scans that the encoder has not seen")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--slices", type=int, default=8, help="slices a scan")
    arguments = parser.parse_args()
    scans = {scan.name: scan for scan in open_cache(arguments.cache) if len(scan.hu) > 1}
    lines = [
        "# What the CT encoder's features tell",
        "",
        "Made by `tools/validate_encoder.py` on scans that the encoder was not trained on (of chest_lidc0001: other",
        f"slices), {arguments.slices} slices each. One sample is a square of 32 pixels inside the body, 272 features.",
        "",
        "Fréchet distance (kernel distance) to the scan as it is:",
        "",
        "| scan | squares | "
        + " | ".join([*(f"dose {d:g}" for d in DOSES), *(f"blur {b:g} pixels" for b in BLURS)])
        + " |",
        "|---" * (2 + len(DOSES) + len(BLURS)) + "|",
    ]
    plain: dict[str, NDArray[np.float32]] = {}
    for name, scan in scans.items():
        lines.append(_row(name, scan, arguments.slices, plain))
    lines += ["", *_neighbours(plain)]
    arguments.page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(name: str, scan: CachedScan, slices: int, plain: dict[str, NDArray[np.float32]]) -> str:
    chosen = spread_indices(len(scan.hu), slices)
    hu = np.stack([scan.hu[k] for k in chosen]).astype(np.float32).clip(HU_MIN, HU_MAX)
    noise = np.stack([scan.noise[0, k] for k in chosen]).astype(np.float32) / STORED_PER_HU
    body = body_mask(hu)
    plain[name] = square_features(hu, body)
    made = [hu + noise * np.sqrt((1 / d - 1) / (1 / scan.doses[0] - 1)) for d in DOSES]
    made += [ndimage.gaussian_filter(hu, (0, b, b)) for b in BLURS]
    cells = []
    for image in made:
        features = square_features(image.astype(np.float32), body)
        cells.append(
            f"{frechet_distance(features, plain[name]):.2f} ({kernel_distance(features, plain[name], paired=True):.4f})"
        )
    return f"| {name} | {len(plain[name])} | " + " | ".join(cells) + " |"


def _neighbours(plain: dict[str, NDArray[np.float32]]) -> list[str]:
    """How often the nearest square of another place comes from the same scan."""
    names = list(plain)
    features = np.concatenate([plain[name] for name in names])
    owner = np.repeat(np.arange(len(names)), [len(plain[name]) for name in names])
    squares = (features**2).sum(1)
    apart = squares[:, None] + squares[None] - 2 * features @ features.T
    np.fill_diagonal(apart, np.inf)
    nearest = owner[apart.argmin(1)]
    lines = [
        "Nearest neighbour of a square: the share whose neighbour comes from the same scan (chance in brackets). The",
        "kernel pair is one scan reconstructed twice, so there only the kernel can tell.",
        "",
        "| scan | same scan |",
        "|---|---|",
    ]
    for i, name in enumerate(names):
        mine = owner == i
        lines.append(f"| {name} | {(nearest[mine] == i).mean():.0%} ({mine.mean():.0%}) |")
    return lines


if __name__ == "__main__":
    main()
