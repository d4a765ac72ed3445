"""What was aimed at, against what a run of `benchmarks.speed` has found."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from benchmarks.end_to_end import Run

LINEAR: Final = 0.15
"""Share that the cost of a further slice may change by from short scans to long ones."""
CHEST: Final = 300
"""Slices of the chest that is to take 20 s."""


def rows(
    seconds: dict[str, float], shares: dict[str, float], ways: Sequence[Sequence[Run]], deep: Run
) -> list[list[str]]:
    """A table: target, found, met.

    Args:
        seconds: CPU time of each thing that was timed, see `speed.calls`.
        shares: share of the convolution peak, by precision.
        ways: runs at scale 1 of scans of growing length: as the program chooses, and otherwise.
        deep: run of through-plane super-resolution by 2.
    """
    name = fastest(seconds)
    ours, twice = seconds[name], seconds[name.replace(" x1", " x2")]
    red, wgan = seconds["RED-CNN"] / ours, seconds["WGAN-VGG"] / ours
    share, memory = min(shares.values()), max(run.peak_gb for run in (*itertools.chain(*ways), deep))
    table = [
        ["target", "found", "met"],
        ["a slice ≥ 30 times as fast as RED-CNN in eager torch", f"{red:.0f} times", red >= 30],
        ["≥ 3 times as fast as WGAN-VGG's network", f"{wgan:.1f} times", wgan >= 3],
        ["≥ 75 % of the convolution peak in inference", f"{share:.0%} in the worse precision", share >= 0.75],
        ["×2 in plane ≤ 4 times the cost of ×1", f"{twice / ours:.1f} times", twice <= 4 * ours],
        *itertools.chain.from_iterable(_whole(scans) for scans in ways),
        ["memory ≤ 2.5 GB", f"{memory:.2f} GB", memory <= 2.5],
        [
            f"3D through plane ×2 of {deep.slices} slices of 512 x 512 in ≤ {0.6 * deep.slices:.0f} s",
            f"{deep.wall_s:.0f} s",
            deep.wall_s <= 0.6 * deep.slices,
        ],
        _linear(ways[0]),
        ["≥ 500 slices a second on a data-centre GPU", "not measured: no GPU", None],
    ]
    words = {True: "yes", False: "**no**", None: "–"}
    return [[*map(str, row[:2]), row[2] if isinstance(row[2], str) else words[row[2]]] for row in table]  # type: ignore[index]


def fastest(seconds: dict[str, float]) -> str:
    """Name of the fastest of those that are chosen automatically, at scale 1."""
    chosen = [name for name in seconds if name.endswith(" x1") and "int8" not in name]
    return min(chosen, key=lambda name: seconds[name])


def _whole(scans: Sequence[Run]) -> list[list[object]]:
    """What was aimed at for whole scans, of one bundle."""
    short, long = scans[0], scans[-1]
    slice_ms = 1000 * (long.wall_s - short.wall_s) / (long.slices - short.slices)
    chest = long.wall_s + (CHEST - long.slices) * slice_ms / 1000
    name = long.bundle
    return [
        [f"{name}: ≤ 50 ms a slice, folder to folder, start and report aside", f"{slice_ms:.0f} ms", slice_ms <= 50],
        [
            f"{name}: {CHEST}-slice chest in ≤ 20 s, all included, by the shortest and the longest scan above",
            f"{chest:.1f} s",
            chest <= 20,
        ],
        [f"{name}: first slices ≤ 3 s after the start, models cached", f"{short.first_s:.1f} s", short.first_s <= 3],
    ]


def _linear(scans: Sequence[Run]) -> list[object]:
    name = f"cost linear in the number of slices, {scans[0].slices} to {scans[-1].slices}"
    if len(scans) < 3:
        return [name, "needs three lengths", None]
    costs = [(b.cpu_s - a.cpu_s) / (b.slices - a.slices) for a, b in itertools.pairwise(scans)]
    change = max(abs(cost / costs[0] - 1) for cost in costs[1:])
    return [name, f"a further slice costs the same within {change:.0%}", change <= LINEAR]
