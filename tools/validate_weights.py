"""Measure the shipped 2D weights against tuned classical filters on held-out scans; writes docs/validation/weights.md.

    python tools/validate_weights.py cache/validation docs/validation/weights.md

The cache comes from `med-stylesr data prepare configs/weights/data_validation.json SCANS cache/validation`. No training
saw these slices. Each filter gets the parameter that is best on each scan itself; the network has no such advantage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_bilateral, denoise_nl_means

from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan, open_cache
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import ArraySlices, InPlane
from med_stylesr.metrics.bias import tissue_shift
from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity

Image = NDArray[np.float32]
CONVENTION = "redcnn"
DOSE = 0.25


def psnr(images: Iterable[Image], labels: Iterable[Image], convention: str = CONVENTION) -> float:
    """Mean over slices, dB."""
    each = [slice_fidelity(a, b, CONVENTIONS[convention])["psnr_db"] for a, b in zip(images, labels, strict=True)]
    return float(np.mean(each))


def best(filters: Iterable[Callable[[Image], Image]], low: list[Image], normal: list[Image]) -> float:
    """PSNR of the best of some filters."""
    return max(psnr([f(x) for x in low], normal) for f in filters)


def gaussians() -> list[Callable[[Image], Image]]:
    """Gaussian filters of several widths in pixels."""
    return [lambda x, s=s: ndimage.gaussian_filter(x, s) for s in (0.4, 0.6, 0.8, 1.0, 1.3)]


def bilaterals() -> list[Callable[[Image], Image]]:
    """Bilateral filters of several ranges in HU."""

    def apply(x: Image, hu: float) -> Image:
        return np.asarray(denoise_bilateral(x, win_size=7, sigma_color=hu, sigma_spatial=1.5), dtype=np.float32)

    return [lambda x, hu=hu: apply(x.astype(np.float64), hu) for hu in (30, 60, 120)]


def nl_means() -> list[Callable[[Image], Image]]:
    """Non-local means of several strengths in HU."""

    def apply(x: Image, hu: float) -> Image:
        return np.asarray(denoise_nl_means(x, patch_size=5, patch_distance=6, h=hu, fast_mode=True), dtype=np.float32)

    return [lambda x, hu=hu: apply(x, hu) for hu in (8, 15, 30, 60)]


def row(scan: CachedScan, runtime: TorchRuntime) -> str:
    """One line of the table."""
    draw = scan.doses.index(DOSE)
    whole = scan.hu.astype(np.float32).clip(-1024, 3071)
    low = whole + scan.noise[draw].astype(np.float32) / STORED_PER_HU
    middle = sorted({len(low) // 3, 2 * len(low) // 3})
    inputs, labels = [low[k] for k in middle], [whole[k] for k in middle]
    told = [f"{psnr(inputs, labels):.2f}"]
    told += [f"{best(family(), inputs, labels):.2f}" for family in (gaussians, bilaterals, nl_means)]
    for style in ("smooth", "normal-dose"):
        stage = InPlane(ArraySlices(low), runtime, runtime.style_code(style, style, 0.0), 1.0, (1, 1))
        base, correction = stage.base_and_correction(middle)
        result = base + correction
        shifts = tissue_shift(np.stack(inputs), result, scan.spacing_mm, reference=np.stack(labels))
        worst = max(shifts.items(), key=lambda item: abs(item[1].shift_hu))
        told.append(f"{psnr(list(result), labels):.2f} ({worst[1].shift_hu:+.2f} {worst[0]})")
    return f"| {scan.name} | {' | '.join(told)} |"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    bundle = load_bundle("ldct_stylesr_2d", torch.device("cpu"))
    runtime = TorchRuntime(bundle.network)
    lines = [
        "# Shipped weights against classical filters",
        "",
        f"Made by `tools/validate_weights.py`. Bundle {bundle.name} {bundle.version}, weights sha256",
        f"`{bundle.weights_sha256}`.",
        "",
        f"PSNR in dB, RED-CNN convention (−160 … 240 HU), simulated dose fraction {DOSE}, against the scan as it is;",
        "two slices a scan, none seen in training (of chest_lidc0001 other slices were). Each",
        "filter with the parameter that is best on that very scan. In brackets: largest shift of a tissue's mean HU,",
        "result minus input. `normal-dose` is meant to keep noise and so seldom reaches the PSNR of `smooth`.",
        "Simulated noise is not real low-dose noise: see the model card.",
        "",
        "| scan | input | Gaussian | bilateral | NLM | `smooth` | `normal-dose` |",
        "|---|---|---|---|---|---|---|",
    ]
    for scan in open_cache(arguments.cache):
        lines.append(row(scan, runtime))
        print(lines[-1], flush=True)
    arguments.page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
