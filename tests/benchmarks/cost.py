"""What a 512 × 512 slice costs: CPU time as a ratio to ours within one run, memory, multiplications, parameters."""

from __future__ import annotations

import copy
import ctypes
import gc
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from benchmarks.methods import Method, load_trained
from benchmarks.scans import BenchmarkScan
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import ArraySlices, InPlane

EDGE: Final = 512


def giga_macs(network: nn.Module, channels: int) -> float:
    """Multiply-accumulates of one slice in 10⁹: two floating point operations each. Nothing is computed for it."""
    bare = copy.deepcopy(network).requires_grad_(False).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bare(torch.empty(1, channels, EDGE, EDGE, device="meta"))
    return counter.get_total_flops() / 2 / 1e9


def parameters(network: nn.Module) -> int:
    """Number of learned numbers."""
    return sum(p.numel() for p in network.parameters())


def cost(run: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of one call of this process, and megabytes by which its memory rises at most (NaN but on Linux)."""
    peak = _from_here()
    started = time.process_time()
    run()
    return {"seconds": time.process_time() - started, "megabytes": peak()}


def _from_here() -> Callable[[], float]:
    """Start to watch the peak of this process's resident memory; what is free but not given back would hide it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
    except (AttributeError, OSError):
        return lambda: math.nan
    return lambda: _resident("VmHWM") - before


def _resident(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def costs(rows: list[Method], scan: BenchmarkScan, dose: float, bundle: LoadedBundle) -> dict[str, dict[str, float]]:
    """`cost` of one slice by every method, one after the other in this process.

    Ours is timed after a call to warm up and without the choice of the strength, which a scan pays once.
    """
    k = scan.wanted[len(scan.wanted) // 2]
    low = scan.low_dose(dose)[k : k + 1]
    one = BenchmarkScan(
        scan.name, scan.normal[k : k + 1], scan.noise[k : k + 1], scan.noise_dose, scan.spacing_mm, (0,)
    )
    runtime = TorchRuntime(bundle.network)
    stage = InPlane(ArraySlices(low), runtime, runtime.style_code("smooth"), 1.0, (1, 1))
    stage.read(0, 1)
    table = {row.name: cost(lambda row=row: row.run(low, one)) for row in rows if row.kind not in ("ours", "equal")}
    return table | {"ours": cost(lambda: stage.read(0, 1))}


def sizes(peers: Path, ours: nn.Module, channels: int) -> dict[str, dict[str, Any]]:
    """Parameters and GMAC of every trained network and of ours."""
    networks = {name: load_trained(name, peers) for name in ("red-cnn", "wgan-vgg", "du-gan")}
    table = {
        name: {"parameters": parameters(net), "gmac": giga_macs(net, 1)}
        for name, net in networks.items()
        if net is not None
    }
    table["ours"] = {"parameters": parameters(ours), "gmac": giga_macs(ours, channels)}
    return table
