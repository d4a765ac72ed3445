"""Train every ablation alike, judge each against noiseless phantoms, and write one table.

python tools/run_ablations.py runs/ablations --epochs 40 --seeds 3
python tools/run_ablations.py runs/edge --only no_edge --only edge_unweighted --overlay fidelity --overlay smoke

The first row, `full`, is the bundle as it is. All runs share overlays, budget and seeds and differ in one overlay of
configs/ablation. Trained runs are kept: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from med_stylesr.engines.phantoms import draw_phantom
from med_stylesr.inference.bundle_folder import find_bundle
from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.service.train import TrainingRun, find_overlay, parse_overrides, train

ROOT = pathlib.Path(__file__).resolve().parents[1]
FULL = "full"
EDGE_HU_PER_VOXEL = 30.0
"""Gradient of the noiseless phantom above which a voxel lies on an edge."""
FLAT_HU_PER_VOXEL = 8.0
"""Largest gradient around a voxel of a flat region: the phantom's texture stays below."""
REACH_PX = 9
"""How far around: blurred edges must not reach into what is judged as flat."""
SOFT_TISSUE_HU = (0.0, 110.0)
"""Only there flat regions are judged: air and lung are what the window hides."""
FIGURES = ("edge_rmse_hu", "flat_rmse_hu", "flat_noise_hu", "slope_kept", "val_psnr", "val_hu_shift")
"""Columns: error at edges; error in flat tissue; its part that a Gaussian of 2 voxels does not see; share of the
noiseless gradient at edges that is left; PSNR in dB and largest tissue shift in HU of the run's own validation."""


def held_out(
    number: int, spatial_dims: int, channels: int, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Input at quarter dose and noiseless truth of one phantom that no run trains on, (slices, size, size) HU.

    Normal-dose noise has 12 HU, as in the smoke overlay, so quarter dose has 24 HU.
    """
    random = np.random.default_rng([90_000, number])
    clean = draw_phantom((channels if spatial_dims == 2 else 6, size, size), random)
    noise = gaussian_filter(random.standard_normal(clean.shape), (0, 0.7, 0.7))
    return clean + 24.0 * noise / noise.std(), clean


def figures(pred: NDArray[np.float64], clean: NDArray[np.float64]) -> dict[str, float]:
    """Compare a slice with the noiseless one, both (rows, columns) HU.

    Args:
        pred: what a network made of it.
        clean: the truth.
    """
    slope, made = (np.stack(np.gradient(image)) for image in (clean, pred))
    height = np.sqrt((slope**2).sum(0))
    edge = height > EDGE_HU_PER_VOXEL
    flat = (
        (maximum_filter(height, REACH_PX) < FLAT_HU_PER_VOXEL)
        & (clean > SOFT_TISSUE_HU[0])
        & (clean < SOFT_TISSUE_HU[1])
    )
    error = pred - clean
    fine = error - gaussian_filter(error, 2.0)
    return {
        "edge_rmse_hu": float(np.sqrt((error[edge] ** 2).mean())),
        "flat_rmse_hu": float(np.sqrt((error[flat] ** 2).mean())),
        "flat_noise_hu": float(fine[flat].std()),
        # A projection: noise of the prediction does not add to it.
        "slope_kept": float((made * slope)[:, edge].sum() / (slope**2)[:, edge].sum()),
    }


def judged(network: StyleSRGenerator, count: int, size: int) -> dict[str, float]:
    """Means of `figures` over phantoms; the network runs at scale 1 or, without such a head, is averaged to it."""
    rows = []
    for number in range(count):
        image, clean = held_out(number, network.spatial_dims, network.in_channels, size)
        batch = torch.from_numpy(image).float()[None]
        with torch.no_grad():
            pred = network(batch if network.spatial_dims == 2 else batch[None])[0, 0].double()
        scale = network.scales[0]
        pool = torch.nn.functional.avg_pool2d if network.spatial_dims == 2 else torch.nn.functional.avg_pool3d
        plain = pool(pred[None, None], scale)[0, 0].numpy()
        middle = len(clean) // 2
        rows.append(figures(plain if network.spatial_dims == 2 else plain[middle], clean[middle]))
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def restored(bundle: pathlib.Path, overlays: Sequence[str], values: dict[str, Any], weights: pathlib.Path) -> Any:
    """The generator of a finished run."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(bundle / "configs" / "train.json"), *(str(find_overlay(name)) for name in overlays)])
    parser.update(values)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def one(name: str, seed: int, given: argparse.Namespace) -> dict[str, float]:
    """Train and judge one ablation with one seed; a finished run is only judged."""
    folder = pathlib.Path(given.out) / name / f"seed{seed}"
    bundle = find_bundle(given.bundle)
    overlays = [*([] if name == FULL else [f"ablation/{name}"]), *given.overlay]
    values = {**parse_overrides(given.set), "train#trainer#max_epochs": given.epochs, "seed": seed}
    if not (folder / "curves.png").is_file():
        train(TrainingRun(given.bundle, overlays, values, folder, resume=(folder / "last.pt").is_file()), print)
    with (folder / "history.csv").open(encoding="utf-8") as file:
        best = max((row for row in csv.DictReader(file) if row.get("val_psnr")), key=lambda row: float(row["val_psnr"]))
    own = {key: float(best[key]) for key in ("val_psnr", "val_hu_shift")}
    return {**judged(restored(bundle, overlays, values, folder / "model.pt"), given.phantoms, given.size), **own}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: one row per ablation, mean and, of several seeds, standard deviation."""

    def cell(name: str, figure: str) -> str:
        values = [row[figure] for row in results[name]]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.3f}{spread}"

    lines = ["| run | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * len(FIGURES)]
    lines += [f"| `{name}` | " + " | ".join(cell(name, figure) for figure in FIGURES) + " |" for name in results]
    return "\n".join(lines) + "\n"


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    known = sorted(path.stem for path in (ROOT / "configs" / "ablation").glob("*.json"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="folder of the runs and of table.md")
    parser.add_argument("--bundle", default="ldct_stylesr_2d")
    parser.add_argument("--only", action="append", choices=known, help="an ablation, may be repeated; default: all")
    parser.add_argument("--overlay", action="append", help="overlays of every run, may be repeated; default: smoke")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="config values of every run")
    parser.add_argument("--epochs", type=int, default=2, help="budget of every run")
    parser.add_argument("--seeds", type=int, default=1, help="runs per ablation")
    parser.add_argument("--phantoms", type=int, default=12, help="held-out phantoms")
    parser.add_argument("--size", type=int, default=128, help="their rows and columns")
    given = parser.parse_args(words)
    given.only, given.overlay = given.only or known, given.overlay or ["smoke"]
    return given


def main(words: Sequence[str]) -> None:
    """Run everything; the table is written anew after every run, so that a stopped evening has its part of it."""
    given = arguments(words)
    results: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for name in (FULL, *given.only):
            results.setdefault(name, []).append(one(name, seed, given))
            (pathlib.Path(given.out) / "table.md").write_text(table(results), encoding="utf-8")
    sys.stdout.write(table(results))


if __name__ == "__main__":
    main(sys.argv[1:])
