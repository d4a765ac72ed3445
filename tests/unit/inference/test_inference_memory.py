"""Memory of through-plane super-resolution is that of a slab, however long the scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import DecodedSlices, InPlane, ThroughPlane
from med_stylesr.networks.generator import StyleSRGenerator

EDGE = 128
SLAB = 8
LONG = 96 * SLAB
PEAK_RESET = Path("/proc/self/clear_refs")
"""Writing 5 makes Linux forget the peak so far (proc(5))."""


def resident_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1000


def test_peak_memory_does_not_grow_with_the_number_of_slices() -> None:
    torch.manual_seed(0)
    flat = TorchRuntime(StyleSRGenerator(2, 3, [4], [1], [1, 1], 4).eval())
    deep = TorchRuntime(StyleSRGenerator(3, 1, [4], [1], [2, 1, 1], 4).eval())
    read: list[int] = []

    def decode(start: int, stop: int) -> np.ndarray:
        read.extend(range(start, stop))
        return np.full((stop - start, EDGE, EDGE), 40, np.int16)

    def peak_mb(slices: int) -> float:
        read.clear()
        source = DecodedSlices((slices, EDGE, EDGE), decode, 16)
        plain = InPlane(source, flat, flat.style_code("smooth"), 1.0, (1, 1))
        stage = ThroughPlane(source, plain, deep, deep.style_code("smooth"), 1.0, 2, SLAB)
        PEAK_RESET.write_text("5", encoding="ascii")
        before = resident_mb("VmRSS")
        for start in range(0, 2 * slices, 2 * SLAB):
            stage.read(start, min(start + 2 * SLAB, 2 * slices))
        return resident_mb("VmHWM") - before

    peak_mb(2 * SLAB)
    # What the allocator keeps of what was freed differs by tens of megabytes from run to run.
    short = max(peak_mb(4 * SLAB) for _ in range(3))
    long = min(peak_mb(LONG) for _ in range(2))
    # Every slice is decoded once, though slabs overlap and two stages read it.
    assert sorted(read) == list(range(LONG))
    result_mb = 2 * LONG * EDGE**2 * 4 / 1e6
    assert long < short + 0.5 * result_mb
