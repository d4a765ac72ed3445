"""Super-resolution side by side: twice as many pixels in plane, two to five times as many slices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.methods import apply_network, enhanced, load_trained
from benchmarks.peers.classical import FILTERS, filtered
from benchmarks.peers.interpolation import averaged, b_spline, lanczos
from benchmarks.scans import BenchmarkScan, Hu
from benchmarks.store import Store
from benchmarks.tuning import psnr

from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest

DOSES: Final = (1.0, 0.25)
FACTORS: Final = (2, 3, 5)
STYLES: Final = ("smooth", "normal-dose", "as-is")
EDGE: Final = 256
"""Rows and columns of the middle that slices are added in, to save time."""

Run = Callable[[Hu, BenchmarkScan], Hu]


def options(style: str, scale: tuple[int, int, int], dose: float) -> EnhanceOptions:
    """`as-is` in full; the others told the dose."""
    request = StrengthRequest(strength=1.0) if style == "as-is" else StrengthRequest(dose_fraction=dose)
    return EnhanceOptions(scale=scale, style=style, request=request)


def in_plane(
    scan: BenchmarkScan, enhancer: Enhancer, nlm: float, peers: Path, store: Store
) -> dict[str, dict[str, float]]:
    """PSNR in dB of each method at twice the pixels: dose → method → dB.

    Args:
        scan: measured on its own pixels; the input is its block means.
        enhancer: with the shipped bundle.
        nlm: strength of non-local means over the noise.
        peers: trained networks.
        store: keeps results.
    """
    spacing = (scan.spacing_mm[0], 2 * scan.spacing_mm[1], 2 * scan.spacing_mm[2])
    wanted = list(scan.wanted)
    methods: dict[str, tuple[str, Callable[[Hu, float], Hu]]] = {
        "B-spline": ("1", lambda low, dose: b_spline(low[wanted], (1, 2, 2))),
        "Lanczos": ("1", lambda low, dose: lanczos(low[wanted], 2)),
        "NLM + B-spline": (
            f"{nlm:g}",
            lambda low, dose: b_spline(filtered(FILTERS["nlm"], nlm, low[wanted], spacing), (1, 2, 2)),
        ),
    }
    weights = peers / "sr-resnet" / "model.pt"
    network = load_trained("sr-resnet", peers)
    if network is not None:
        key = hashlib.sha256(weights.read_bytes()).hexdigest()
        methods["SRResNet"] = (key, lambda low, dose: apply_network(network, low, wanted, 1))
    for style in _offered(enhancer):
        methods[f"`{style}`"] = (
            enhancer.bundle(2).weights_sha256,
            lambda low, dose, s=style: enhanced(enhancer, low, spacing, options(s, (1, 2, 2), dose))[wanted],
        )
    table: dict[str, dict[str, float]] = {}
    for dose in DOSES:
        low = averaged(scan.low_dose(dose), (1, 2, 2))
        for name, (key, run) in methods.items():
            table.setdefault(f"{dose:g}", {})[name] = store.record(
                "in_plane",
                f"{scan.key} {dose:g} {name} {key}",
                lambda r=run, x=low, d=dose: _mean(r(x, d), scan.target),
            )
    return table


def through_plane(scan: BenchmarkScan, factor: int, enhancer: Enhancer, store: Store) -> dict[str, dict[str, float]]:
    """PSNR in dB of each method at `factor` times the slices, whose input are means of so many: dose → method → dB."""
    count = len(scan.normal) // factor * factor
    spacing = (scan.spacing_mm[0] * factor, *scan.spacing_mm[1:])
    hashes = " ".join(enhancer.bundle(n).weights_sha256 for n in (2, 3))
    methods: dict[str, tuple[str, Callable[[Hu, float], Hu]]] = {
        "linear": ("1", lambda thick, dose: b_spline(thick, (factor, 1, 1), order=1)),
        "B-spline": ("1", lambda thick, dose: b_spline(thick, (factor, 1, 1))),
    }
    for style in _offered(enhancer):
        methods[f"`{style}`"] = (
            hashes,
            lambda thick, dose, s=style: enhanced(enhancer, thick, spacing, options(s, (factor, 1, 1), dose)),
        )
    table: dict[str, dict[str, float]] = {}
    for dose in DOSES:
        thick = averaged(scan.low_dose(dose)[:count], (factor, 1, 1))
        for name, (key, run) in methods.items():
            table.setdefault(f"{dose:g}", {})[name] = store.record(
                "through_plane",
                f"{scan.key} {factor} {dose:g} {name} {key}",
                lambda r=run, x=thick, d=dose: _mean(r(x, d), scan.normal[:count]),
            )
    return table


def _offered(enhancer: Enhancer) -> Mapping[str, None]:
    return dict.fromkeys(style for style in STYLES if style in enhancer.bundle(2).network.style_names)


def _mean(results: Hu, normal: Hu) -> float:
    return float(np.mean([psnr(r, n) for r, n in zip(results, normal, strict=True)]))
