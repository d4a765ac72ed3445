"""What the benchmark compares at scale 1: a name, a key that changes with whatever changes the result, a function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from benchmarks.peers.classical import FILTERS, KEPT_NOISE, filtered
from benchmarks.recipes import RECIPES
from benchmarks.scans import BenchmarkScan, Hu
from numpy.typing import NDArray
from torch import nn

from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.inference.strength import StrengthRequest

DOSE: Final = 0.25


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        name: short, for files and figures.
        label: for tables.
        kind: "input", "classical", "peer", "equal" (our network on the peers' budget) or "ours" (as shipped).
        key: whatever determines its results: parameters, or the hash of weights.
        run: from the scan at low dose and the slices wanted to their HU.
    """

    name: str
    label: str
    kind: str
    key: str
    run: Callable[[Hu, BenchmarkScan], Hu]


def classical(name: str, label: str, parameter: float) -> Method:
    """A tuned filter."""

    def run(low: Hu, scan: BenchmarkScan) -> Hu:
        return filtered(FILTERS[name], parameter, low[list(scan.wanted)], scan.spacing_mm)

    return Method(name, f"{label} ({parameter:g})", "classical", f"{name} {parameter:g}", run)


def partly(base: Method) -> Method:
    """A filter that gives back a share of what it took away."""

    def run(low: Hu, scan: BenchmarkScan) -> Hu:
        smooth = base.run(low, scan)
        return np.asarray(smooth + np.float32(KEPT_NOISE) * (low[list(scan.wanted)] - smooth))

    label = f"{base.label}, {KEPT_NOISE:.0%} kept"
    return Method(f"{base.name}-kept", label, "classical", f"{base.key} kept {KEPT_NOISE}", run)


def enhanced(
    enhancer: Enhancer, volume: NDArray[Any], spacing_mm: tuple[float, float, float], options: EnhanceOptions
) -> Hu:
    """All slices of a volume through the enhancer, as a user gets them."""
    enhancement = enhancer.open(ArraySlices(volume), spacing_mm, options)
    return np.concatenate([hu for _, hu in enhancement.slabs()])


def ours(enhancer: Enhancer, name: str, label: str, options: EnhanceOptions) -> Method:
    """The shipped bundle as `med-stylesr enhance` runs it."""

    def run(low: Hu, scan: BenchmarkScan) -> Hu:
        return enhanced(enhancer, low, scan.spacing_mm, options)[list(scan.wanted)]

    return Method(name, label, "ours", f"{name} {enhancer.bundle(2).weights_sha256}", run)


def load_trained(name: str, folder: Path) -> nn.Module | None:
    """A network of `benchmarks.training`, ready to run; None if it is not trained."""
    weights = folder / name / "model.pt"
    if not weights.is_file():
        return None
    network = RECIPES[name].build().network
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def apply_network(network: nn.Module, low: Hu, slices: Sequence[int], context: int, **extra: Any) -> Hu:
    """Slices of a volume through a 2D network that sees `context` slices; the ends are replicated."""
    results = []
    for k in slices:
        near = np.clip(np.arange(k - context // 2, k + context // 2 + 1), 0, len(low) - 1)
        image = torch.from_numpy(low[near])[None].contiguous(memory_format=torch.channels_last)
        results.append(network(image, **extra)[0, 0].numpy())
    return np.stack(results)


def trained(name: str, label: str, folder: Path, kind: str, style: str | None = None) -> Method | None:
    """A network of `benchmarks.training`; None if it is not trained. `style` is for ours."""
    network = load_trained(name, folder)
    if network is None:
        return None
    recipe = RECIPES[name]
    record = json.loads((folder / name / "record.json").read_text())
    extra: dict[str, Any] = {}
    if style is not None:
        extra = {"style": torch.tensor([list(recipe.styles).index(style)])}

    def run(low: Hu, scan: BenchmarkScan) -> Hu:
        return apply_network(network, low, scan.wanted, recipe.slices, **extra)

    digest = hashlib.sha256((folder / name / "model.pt").read_bytes()).hexdigest()
    told = f"{label}, {record['minutes']:g} min"
    return Method(f"{name}-{style}" if style else name, told, kind, f"{digest} {style}", run)


def methods(enhancer: Enhancer, fast: Enhancer, parameters: Mapping[str, float], peers: Path) -> list[Method]:
    """All rows in the order of the tables.

    Args:
        enhancer: with the shipped bundle.
        fast: with the pruned one.
        parameters: of the filters, from tuning.
        peers: trained networks.
    """

    def unchanged(low: Hu, scan: BenchmarkScan) -> Hu:
        return low[list(scan.wanted)]

    labels = {"gaussian": "Gaussian", "bilateral": "bilateral", "tv": "TV", "nlm": "NLM", "bm3d": "BM3D"}
    rows = [Method("input", "input", "input", "input", unchanged)]
    rows += [classical(name, labels[name], parameters[name]) for name in FILTERS]
    rows.append(partly(next(row for row in rows if row.name == "nlm")))
    networks = {"red-cnn": "RED-CNN", "wgan-vgg": "WGAN-VGG", "du-gan": "DU-GAN"}
    found = [trained(name, label, peers, "peer") for name, label in networks.items()]
    found.append(trained("ours-equal", "our net", peers, "equal", style="smooth"))
    rows += [row for row in found if row is not None]
    told = StrengthRequest(dose_fraction=DOSE)
    rows += [
        ours(enhancer, "smooth", f"`smooth` `--dose {DOSE}`", EnhanceOptions(style="smooth", request=told)),
        ours(enhancer, "normal-dose", f"`normal-dose` `--dose {DOSE}`", EnhanceOptions(request=told)),
        ours(enhancer, "normal-dose-untold", "`normal-dose`, dose not told", EnhanceOptions()),
        ours(fast, "smooth-fast", f"`smooth` `--dose {DOSE}`, fast", EnhanceOptions(style="smooth", request=told)),
        ours(fast, "normal-dose-fast", f"`normal-dose` `--dose {DOSE}`, fast", EnhanceOptions(request=told)),
    ]
    return rows
