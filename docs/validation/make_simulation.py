"""Regenerate docs/validation/simulation.md and its figures from real scans.

    python docs/validation/make_simulation.py FOLDER_OF_DICOM_SERIES [--bench bench.json]

`--bench` takes what `tests/benchmarks/bench_projector.py --json` wrote.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch

from med_stylesr.degrade.calibration import NoFlatTissueError, calibrate
from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.texture import NoiseTexture, flat_regions, measure
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs

mpl.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOSE = 0.25
SLICES = 6
MOST_OF_A_FOLDER = 6
SHOWN = 6


@dataclass
class Measured:
    """One scan before and after."""

    name: str
    kernel: str
    spacing: tuple[float, float, float]
    thickness: float | None
    calibration: Calibration
    scan: NoiseTexture
    simulated: NoiseTexture
    constant: NoiseTexture
    quarter: NoiseTexture
    shift_hu: float
    picture: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def examine(name: str, series: DicomSeries, simulator: LowDoseSimulator) -> Measured:
    """Calibrate on a scan, simulate its own noise and that of a quarter of its dose, measure all of them alike."""
    middle = max(0, len(series) // 2 - SLICES // 2)
    hu = torch.from_numpy(read_slices(series, middle, min(len(series), middle + SLICES)).astype(np.float32))
    spacing = (series.grid.plane_distance_mm, *series.grid.spacing_mm[1:])
    calibration = calibrate(simulator, hu, spacing)
    regions = flat_regions(hu)
    how = {"seed": 1, "thickness_mm": series.thickness_mm}
    own = simulator.scan_noise(hu, spacing, calibration, **how)
    constant = simulator.scan_noise(hu, spacing, replace(calibration, tube_current_modulation=0.0), **how)
    added = simulator.noise(hu, spacing, DOSE, calibration, **how)
    tissue = (hu > -920) & (hu < 1500)
    textures = [measure(x, spacing[2], regions) for x in (hu, own, constant, hu + added)]
    k = len(hu) // 2
    return Measured(
        name,
        series.kernel,
        spacing,
        series.thickness_mm,
        calibration,
        *textures,
        float(added[tissue].mean()),
        (hu[k].numpy(), (hu + added)[k].numpy()),
    )


def mean_frequency(texture: NoiseTexture) -> float:
    """Centre of gravity of the noise power over frequency, weighted as in two dimensions, 1/mm."""
    f = texture.frequency_per_mm
    return float((f**2 * texture.nps).sum() / (f * texture.nps).sum())


def figure_spectra(rows: list[Measured]) -> None:
    """Spectra of the scan's own noise and of the noise simulated for it."""
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.6), layout="constrained")
    for axis, row in zip(axes.flat, rows, strict=False):
        f = row.scan.frequency_per_mm
        axis.plot(f, row.scan.nps, "k", label="scan")
        axis.plot(f, row.simulated.nps, "C0--", label="simulated, same dose")
        axis.plot(f, row.quarter.nps, "C3", label="scan at quarter dose")
        axis.plot(f, 4 * row.scan.nps, "k:", label="4 x scan (theory)")
        axis.axvline(0.5 / row.spacing[2], color="0.8", lw=0.8)
        axis.set(title=f"{row.name}\nkernel {row.kernel or '?'}", xlabel="1/mm", yscale="log")
        axis.set_ylim(float(row.scan.nps.max()) * 1e-3, float(row.quarter.nps.max()) * 2)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    axes[0, 0].legend(fontsize=7)
    for axis in axes[:, 0]:
        axis.set_ylabel("NPS, HU² mm²")
    figure.savefig(HERE / "simulation-nps.png", dpi=90)
    plt.close(figure)


def figure_slices(rows: list[Measured]) -> None:
    """Slices before and after in the soft-tissue window."""
    figure, axes = plt.subplots(2, SHOWN, figsize=(3 * SHOWN, 6.3), layout="constrained")
    for column, row in zip(axes.T, rows[:SHOWN], strict=False):
        for axis, picture, label in zip(column, row.picture, ("as it is", "quarter dose"), strict=True):
            axis.imshow(picture[64:448, 48:464], cmap="gray", vmin=-160, vmax=240)
            axis.set_axis_off()
            axis.set_title(f"{row.name}\n{label}" if label == "as it is" else label, fontsize=8)
    figure.savefig(HERE / "simulation-slices.png", dpi=80)
    plt.close(figure)


def page(rows: list[Measured], left_out: list[str], bench: dict[str, Any] | None) -> str:
    """The page in Markdown."""
    lines = [
        "# Validation of the low-dose simulation",
        "",
        "Written by `docs/validation/make_simulation.py`; do not edit. "
        f"Up to {SLICES} slices from the middle of each scan, GE LightSpeed geometry (984 views x 888 bins),"
        f" dose {DOSE}.",
        "",
        "Noise is measured in flat regions of 32 x 32 pixels of soft tissue: second-order trend removed, radial noise"
        " power spectrum, median over regions, the three lowest radial bins (anatomy) left out. *Simulated* is the"
        " noise that the calibrated simulator makes for the scan's own dose, another realisation than the one it was"
        " fitted with. Theory: a quarter of the dose has twice the noise, and more where so few photons"
        " are left that electronic noise counts, which grows with 1/dose and not with its root.",
        "",
        "*Streaks*: noise power within 30° of the vertical frequency axis over that within 30° of the horizontal one,"
        " as scanned, simulated with the fitted exponent of tube current modulation, and with constant current.",
        "",
        "| scan | kernel | pixel x thickness, mm | I0, photons a ray | SD scan | SD simulated | SD quarter dose |"
        " ratio (theory 2) | mean frequency scan, 1/mm | simulated | streaks scan | simulated | constant current |"
        " exponent | mean HU moved |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        thickness = "?" if r.thickness is None else f"{r.thickness:g}"
        lines.append(
            f"| {r.name} | {r.kernel or '?'} | {r.spacing[2]:.2f} x {thickness} | {r.calibration.i0_photons:.2g} |"
            f" {r.scan.noise_sd_hu:.1f} | {r.simulated.noise_sd_hu:.1f} | {r.quarter.noise_sd_hu:.1f} |"
            f" {r.quarter.noise_sd_hu / r.scan.noise_sd_hu:.2f} | {mean_frequency(r.scan):.3f} |"
            f" {mean_frequency(r.simulated):.3f} | {math.exp(r.scan.streaking):.2f} |"
            f" {math.exp(r.simulated.streaking):.2f} | {math.exp(r.constant.streaking):.2f} |"
            f" {r.calibration.tube_current_modulation:.2f} | {r.shift_hu:+.2f} |"
        )
    deviation = [abs(r.simulated.noise_sd_hu / r.scan.noise_sd_hu - 1) for r in rows]
    coarseness = [abs(mean_frequency(r.simulated) / mean_frequency(r.scan) - 1) for r in rows]
    ratio = [r.quarter.noise_sd_hu / r.scan.noise_sd_hu for r in rows]
    far = [[abs(getattr(r, kind).streaking - r.scan.streaking) for r in rows] for kind in ("simulated", "constant")]
    streaks, at_constant = (math.exp(np.median(one)) for one in far)
    lines += [
        "",
        f"{len(rows)} scans: SD of the simulated noise differs from the scan's by {np.median(deviation):.1%} (median;"
        f" at most {max(deviation):.1%}), its mean frequency by {np.median(coarseness):.1%} (at most"
        f" {max(coarseness):.1%}); the noise of a quarter dose is {np.median(ratio):.2f} times that of the scan"
        f" (median; {min(ratio):.2f} … {max(ratio):.2f}). Streaks are off by a factor of {streaks:.2f} in the median,"
        f" with constant current by {at_constant:.2f}.",
        "",
        "The largest deviations belong to scans with few flat regions, where the measurement itself is uncertain."
        " Beyond the grid's Nyquist frequency (grey line; only diagonals of the spectrum reach there) simulated noise"
        " falls off more gently than that of some scans: far from the isocentre, direct fan-beam reconstruction"
        " magnifies each view's noise differently.",
    ]
    if left_out:
        lines += ["", "Not measured, too little flat tissue in these slices: " + ", ".join(left_out) + "."]
    lines += ["", "![Noise power spectra](simulation-nps.png)", "", "![Slices](simulation-slices.png)", ""]
    if bench:
        reference = bench["scikit-image radon"] + bench["scikit-image iradon"]
        lines += [
            "## Seconds per slice",
            "",
            f"`tests/benchmarks/bench_projector.py`, device {bench['device']}, {bench['threads']} thread(s), all in one"
            " run; 512 x 512 pixels, 720 views unless said otherwise. On a CPU it is the CPU time of one thread:",
            "",
            "| | seconds per slice | scikit-image radon + iradon takes |",
            "|---|---|---|",
        ]
        skip = ("device", "threads")
        lines += [f"| {n} | {v:.3f} | {reference / v:.1f} x |" for n, v in bench.items() if n not in skip]
        lines += [
            "",
            "Slices share the index arithmetic, so that batches are cheaper. Projections of full resolution gain"
            " least; noise insertion does with coarse ones.",
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with one folder a series")
    parser.add_argument("--bench", type=Path, help="JSON of bench_projector.py")
    options = parser.parse_args()
    simulator = LowDoseSimulator(SCANNERS["ge-lightspeed"], DetectorModel())
    rows: list[Measured] = []
    left_out: list[str] = []
    for folder in sorted(p for p in options.data.iterdir() if p.is_dir()):
        with find_inputs(folder) as inputs:
            every = -(-len(inputs.series) // MOST_OF_A_FOLDER)
            for number, series in list(enumerate(inputs.series))[::every]:
                name = folder.name if len(inputs.series) == 1 else f"{folder.name} {number + 1}"
                if series.grid.is_sheared or "phantom" in name:
                    continue
                try:
                    rows.append(examine(name, series, simulator))
                except NoFlatTissueError:
                    left_out.append(name)
                print(name, flush=True)
    rows.sort(key=lambda r: " " in r.name)
    figure_spectra(rows[:8])
    figure_slices(rows)
    bench = json.loads(options.bench.read_text()) if options.bench else None
    (HERE / "simulation.md").write_text(page(rows, left_out, bench), encoding="utf-8")


if __name__ == "__main__":
    main()
