"""The same scan with a soft and a sharp kernel: one made from the other, against the truth."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import numpy as np
from benchmarks.methods import enhanced
from benchmarks.peers.interpolation import gaussian_match, unsharp_match
from benchmarks.scans import BenchmarkScan, Hu
from benchmarks.store import Store
from numpy.typing import NDArray

from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.request import REFERENCE_STYLE
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.metrics.regions import body_mask
from med_stylesr.volume import CTVolume

WIDTHS: Final = (0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0)
AMOUNTS: Final = (0.5, 1.0, 2.0, 3.0)


def rmse(result: Hu, truth: Hu, body: NDArray[np.bool_]) -> float:
    """Root mean square difference in HU inside the body."""
    return float(np.sqrt(((result - truth)[body].astype(np.float64) ** 2).mean()))


def compare(sharp: BenchmarkScan, soft: BenchmarkScan, enhancer: Enhancer, store: Store) -> dict[str, Any]:
    """RMSE in HU of both directions: direction → method → HU.

    Gaussian and unsharp mask are fitted to the first half of both scans. Our `--style PATH` gets the first half of the
    wanted kernel as its reference, without its partner. All methods are measured on the second half. A style of the
    bank has seen neither; a direction whose style the bundle lacks has no row of that.
    """
    half = len(sharp.normal) // 2
    fit, test = slice(0, half), slice(half, len(sharp.normal))
    body = body_mask(soft.normal)
    width = min(WIDTHS, key=lambda w: rmse(gaussian_match(sharp.normal[fit], w), soft.normal[fit], body[fit]))
    best = min(
        product(WIDTHS, AMOUNTS),
        key=lambda p: rmse(unsharp_match(soft.normal[fit], *p), sharp.normal[fit], body[fit]),
    )
    matched = {
        "L → B": (sharp, soft, f"Gaussian, {width:g} px", gaussian_match(sharp.normal[test], width), "soft"),
        "B → L": (
            soft,
            sharp,
            f"unsharp mask, {best[0]:g} px × {best[1]:g}",
            unsharp_match(soft.normal[test], *best),
            "sharp",
        ),
    }
    table: dict[str, Any] = {}
    for direction, (source, truth, label, result, style) in matched.items():
        rows = {
            "nothing": rmse(source.normal[test], truth.normal[test], body[test]),
            label: rmse(result, truth.normal[test], body[test]),
        }
        asked = EnhanceOptions(style=REFERENCE_STYLE, request=StrengthRequest(strength=1.0))
        rows["`--style` the other kernel"] = store.record(
            "kernels",
            f"{direction} reference {source.key} {enhancer.bundle(2).weights_sha256}",
            lambda s=source, t=truth, o=asked: rmse(
                enhanced(_as(t, fit), s.normal[test], s.spacing_mm, o), t.normal[test], body[test]
            ),
        )
        if style in enhancer.bundle(2).network.style_names:
            key = f"{direction} {source.key} {enhancer.bundle(2).weights_sha256}"
            options = EnhanceOptions(style=style, request=StrengthRequest(strength=1.0))
            rows[f"`{style}`"] = store.record(
                "kernels",
                key,
                lambda s=source, t=truth, o=options: rmse(
                    enhanced(enhancer, s.normal, s.spacing_mm, o)[test], t.normal[test], body[test]
                ),
            )
        table[direction] = rows
    return table


def _as(scan: BenchmarkScan, part: slice) -> Enhancer:
    """An enhancer that makes scans look like a part of this one."""
    z, y, x = scan.spacing_mm
    return Enhancer(device="cpu", reference=CTVolume(scan.normal[part], np.diag([x, y, z, 1.0])))
