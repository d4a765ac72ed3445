"""The benchmark: ours and what people would otherwise use, on the same slices with the same metrics, in one run.

    make benchmark          everything; what is computed already is kept, so new weights cost minutes
    make benchmark-quick    two minutes, on the sample scan that comes with the repository; prints a table

The page goes to docs/validation/benchmark.md, figures to docs/images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from benchmarks import cost, hu_bias, kernels, pictures, pooling, precision, resolution, strength_check, targets
from benchmarks.bound import possible_gain
from benchmarks.distance import patch_features
from benchmarks.measure import VERSION, measure
from benchmarks.methods import DOSE, Method, apply_network, enhanced, load_trained, methods
from benchmarks.page import Numbers, page
from benchmarks.peers.interpolation import averaged, b_spline
from benchmarks.pooling import Records
from benchmarks.recipes import RECIPES, REPOSITORY
from benchmarks.scans import BenchmarkScan, Hu, scans, whole
from benchmarks.store import Store
from benchmarks.tuning import tune

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.bundle_folder import BUNDLE_FAST
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.metrics.distribution import frechet_distance
from med_stylesr.networks.features import shipped_encoder

IMAGES: Final = REPOSITORY / "docs" / "images"
PAGE: Final = REPOSITORY / "docs" / "validation" / "benchmark.md"
THROUGH: Final = ("chest_lidc0001", "petct_siemens_sens16")
PAIR: Final = ("kernelpair_A0001_sharp_L", "kernelpair_A0001_soft_B")
SHOWN: Final = ("input", "bm3d", "nlm", "red-cnn", "du-gan", "wgan-vgg", "smooth", "normal-dose")
CURVES: Final = ("input", "bm3d", "nlm-kept", "red-cnn", "smooth", "normal-dose")


class Benchmark:
    """One run over all methods and scans.

    Args:
        cache: prepared scans: `benchmark/tune` and `benchmark/test` in it.
        peers: trained networks.
        store: keeps what is computed.
        only: names of the scans to measure; all if None.
        edge: rows and columns of the middle of each slice that is measured; all if None.
    """

    def __init__(self, cache: Path, peers: Path, store: Store, only: Sequence[str] | None, edge: int | None) -> None:
        self.cache, self.peers, self.store = cache, peers, store
        self.enhancer = Enhancer(device="cpu")
        self.tests = [scan for scan in scans(cache / "test", edge) if only is None or scan.name in only]
        self.edge = min(edge or resolution.EDGE, resolution.EDGE)
        self.names = [scan.name for scan in self.tests]
        self.parameters = tune(list(scans(cache / "tune")), DOSE, store)
        self.rows = methods(self.enhancer, Enhancer(BUNDLE_FAST, device="cpu"), self.parameters, peers)

    def result(self, row: Method, scan: BenchmarkScan) -> Hu:
        """A method's slices at low dose."""
        key = f"{scan.key} {DOSE} {row.key}"
        return self.store.array("results", key, lambda: row.run(scan.low_dose(DOSE), scan))

    def record(self, row: Method, scan: BenchmarkScan) -> dict[str, Any]:
        """What is measured on it."""

        def make() -> dict[str, Any]:
            low = scan.low_dose(DOSE)[list(scan.wanted)]
            return measure(low, self.result(row, scan), scan.target, scan.spacing_mm)

        key = f"{VERSION} {scan.key} {DOSE} {row.key}"
        return dict(self.store.record("figures", key, make))

    def numbers(self) -> Numbers:
        """Everything that the page tells."""
        records = {}
        for row in self.rows:
            records[row.name] = {scan.name: self.record(row, scan) for scan in self.tests}
            print(f"{row.label}: {pictures.mean_psnr(records[row.name]):.2f} dB", flush=True)
        n = Numbers(self.rows, records, pixels=self.tests[0].normal.shape[1])
        n.frechet = self._frechet()
        n.possible = {scan.name: possible_gain(scan, DOSE, self.enhancer, self.store) for scan in self.tests}
        n.bias = hu_bias.biases(self.rows, self.tests, DOSE, self.store)
        nlm = self.parameters["nlm"]
        for scan in self.tests:
            n.in_plane[scan.name] = resolution.in_plane(scan, self.enhancer, nlm, self.peers, self.store)
        print("super-resolution in plane done", flush=True)
        for name in [name for name in THROUGH if name in self.names]:
            scan = whole(self.cache / "test", name, self.edge)
            for factor in resolution.FACTORS:
                if len(scan.normal) >= 3 * factor:
                    told = resolution.through_plane(scan, factor, self.enhancer, self.store)
                    n.through[f"{factor} {name}"] = told
        print("super-resolution through plane done", flush=True)
        if set(PAIR) <= set(self.names):
            sharp, soft = (whole(self.cache / "test", name, self.edge) for name in PAIR)
            n.kernels = kernels.compare(sharp, soft, self.enhancer, self.store)
        for scan in self.tests:
            if len(scan.wanted) > 1:
                n.strength[scan.name] = strength_check.check(scan, self.enhancer, self.store)
        print("strength done", flush=True)
        n.eight_bits = precision.compare(self.tests, self.store)
        self._costs(n)
        self._ablation(n)
        n.bundles = {
            bundle.name: (bundle.version, bundle.weights_sha256)
            for bundle in (self.enhancer.bundle(2), self.enhancer.bundle(3))
        }
        n.peers = {f.parent.name: json.loads(f.read_text()) for f in sorted(self.peers.glob("*/record.json"))}
        n.checks = [
            *targets.denoising(self.rows, records),
            *targets.hu_bias(n.bias),
            *targets.resolution(n.in_plane, n.through),
            *targets.kernels(n.kernels),
            *targets.strength(n.strength),
            *targets.eight_bits(n.eight_bits),
        ]
        return n

    def _frechet(self) -> dict[str, float]:
        try:
            encoder = shipped_encoder()
        except (InputError, FileNotFoundError):
            return {}
        normal = np.concatenate([patch_features(scan.target, scan.target, encoder) for scan in self.tests])

        def distance(row: Method) -> float:
            own = [patch_features(self.result(row, scan), scan.target, encoder) for scan in self.tests]
            return frechet_distance(np.concatenate(own), normal)

        names = " ".join(scan.key for scan in self.tests)
        return {
            row.name: self.store.record("frechet", f"{names} {row.key}", lambda row=row: distance(row))
            for row in self.rows
        }

    def _costs(self, n: Numbers) -> None:
        bundle = self.enhancer.bundle(2)
        names = " ".join(row.key for row in self.rows)
        shown = self._example().name
        scan = next(scan for scan in scans(self.cache / "test") if scan.name == shown)
        n.costs = self.store.record(
            "cost", f"memory too {names} {bundle.weights_sha256}", lambda: cost.costs(self.rows, scan, DOSE, bundle)
        )
        n.sizes = cost.sizes(self.peers, bundle.network, bundle.network.in_channels)

    def _ablation(self, n: Numbers) -> None:
        for name in [name for name in RECIPES if name.startswith("ablation-")]:
            network = load_trained(name, self.peers)
            if network is None:
                continue
            weights = (self.peers / name / "record.json").read_text()
            recipe, styled = RECIPES[name], RECIPES[name].build().styled
            found: dict[str, Records] = {}
            for index, style in enumerate(recipe.styles):
                extra = {"style": torch.tensor([index])} if styled else {}
                row = Method(
                    name,
                    name,
                    "ours",
                    f"{name} {style} {weights}",
                    lambda low, scan, net=network, r=recipe, e=extra: apply_network(
                        net, low, scan.wanted, r.slices, **e
                    ),
                )
                found[style] = {scan.name: self.record(row, scan) for scan in self.tests}
            bands = pooling.band_ratios(found["normal-dose"])
            shifts = pooling.tissue_shift(found["smooth"]).values()
            n.ablation[name.removeprefix("ablation-")] = {
                "PSNR `smooth`, dB": pictures.mean_psnr(found["smooth"]),
                "PSNR `normal-dose`, dB": pictures.mean_psnr(found["normal-dose"]),
                "largest HU shift": max(abs(worst) for _, worst in shifts),
                "f50, smooth": pooling.sharpness(found["smooth"]),
                "noise power, middle band": bands["middle"][0],
                "CCC, normal-dose": pooling.mean(pooling.radiomic_concordance(found["normal-dose"])),
            }

    def _example(self) -> BenchmarkScan:
        """The scan that is shown and timed."""
        return self.tests[self.names.index(THROUGH[0]) if THROUGH[0] in self.names else 0]

    def draw(self, n: Numbers, folder: Path) -> None:
        """Write the figures."""
        folder.mkdir(parents=True, exist_ok=True)
        scan = self._example()
        middle = len(scan.wanted) // 2
        shown = [row for name in SHOWN for row in self.rows if row.name == name]
        images = {row.label.split(" (")[0]: self.result(row, scan)[middle] for row in shown}
        images["normal dose"] = scan.target[middle]
        for window in pictures.WINDOWS:
            pictures.montage(folder / f"benchmark-montage-{window}.png", images, "normal dose", window)
        labels = {row.name: row.label for name in CURVES for row in self.rows if row.name == name}
        best = pictures.scans_with_spectra(n.records["input"], 3)
        pictures.nps(folder / "benchmark-nps.png", n.records, labels, best)
        pictures.strength(folder / "benchmark-strength.png", n.strength)
        if THROUGH[0] in self.names:
            self._profiles(folder / "benchmark-through-plane.png")

    def _profiles(self, path: Path, factor: int = 3) -> None:
        scan = whole(self.cache / "test", THROUGH[0], self.edge)
        count = len(scan.normal) // factor * factor
        thick = averaged(scan.low_dose(DOSE)[:count], (factor, 1, 1))
        spacing = (scan.spacing_mm[0] * factor, *scan.spacing_mm[1:])
        hashes = " ".join(self.enhancer.bundle(k).weights_sha256 for k in (2, 3))
        fine = self.store.array(
            "profiles",
            f"{scan.key} {factor} {DOSE} {hashes}",
            lambda: enhanced(self.enhancer, thick, spacing, resolution.options("smooth", (factor, 1, 1), DOSE)),
        )
        volumes = {
            "normal dose": scan.normal[:count],
            f"B-spline ×{factor}": b_spline(thick, (factor, 1, 1)),
            f"smooth ×{factor}": fine,
        }
        pictures.profiles(path, volumes, scan.spacing_mm[0], pictures.steepest(scan.normal[:count]))


def main() -> int:
    """Run the benchmark and write page and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "cache" / "benchmark")
    parser.add_argument("--peers", type=Path, default=REPOSITORY / "runs" / "peers")
    parser.add_argument("--store", type=Path, default=REPOSITORY / "runs" / "benchmark")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--images", type=Path, default=IMAGES)
    parser.add_argument("--edge", type=int, help="measure the middle EDGE x EDGE pixels only, where time is short")
    parser.add_argument("--scans", nargs="+", help="measure these only (for a first look; the targets are for all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if not (arguments.cache / "test").is_dir():
            raise UsageError(str(arguments.cache), "holds no prepared scans", "run `make benchmark-data` first")
        benchmark = Benchmark(arguments.cache, arguments.peers, Store(arguments.store), arguments.scans, arguments.edge)
        if not benchmark.tests:
            raise UsageError("--scans", "none of them is in the cache", "see the names in its folder")
        numbers = benchmark.numbers()
    except MedStyleError as error:
        print(error)
        return 2
    benchmark.draw(numbers, arguments.images)
    arguments.page.parent.mkdir(parents=True, exist_ok=True)
    arguments.page.write_text(page(numbers, "../images"), encoding="utf-8")
    print(f"{sum(c.met for c in numbers.checks)} of {len(numbers.checks)} targets met; see {arguments.page}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
