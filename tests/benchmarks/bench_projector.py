"""Seconds per slice of the projector and of the whole noise simulation, against scikit-image in the same run.

    python tests/benchmarks/bench_projector.py [--device cpu|cuda] [--slices 8] [--json OUT]

Needs the `report` extra (scikit-image). On a CPU one thread is used and its CPU time counted, so that other work on the
machine disturbs less. Ratios hold from machine to machine, seconds do not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS, FanBeamGeometry, ParallelGeometry
from med_stylesr.degrade.kernel import KERNELS, ReconstructionKernel
from med_stylesr.degrade.projector import filtered_back_projection, project

SIZE, VIEWS, PIXEL_MM = 512, 720, 0.7


def seconds(function: Callable[[], object], device: str, repeats: int = 2) -> float:
    """Best time of a few calls: CPU time of this process, or wall-clock time on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(repeats):
        started = clock()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--slices", type=int, default=8, help="slices in a batch")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    options = parser.parse_args()
    device, many = options.device, options.slices
    torch.set_num_threads(1)

    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM
    water = ((axis**2 + axis[:, None] ** 2) < 150**2).astype(np.float32) * 0.0193
    one = torch.from_numpy(water)[None].to(device)
    batch = one.repeat(many, 1, 1)
    parallel = ParallelGeometry(views=VIEWS, bins=SIZE, ray_mm=PIXEL_MM)
    fan = FanBeamGeometry(source_to_isocenter_mm=541.0, bin_rad=1.0239 / 949.0, views=VIEWS, bins=888)
    ramp = ReconstructionKernel.ramp()
    table: dict[str, float] = {}

    from skimage.transform import iradon, radon

    angles = np.linspace(0, 180, VIEWS, endpoint=False)
    sinogram = radon(water, angles, circle=True)
    table["scikit-image radon"] = seconds(lambda: radon(water, angles, circle=True), "cpu", 1)
    table["scikit-image iradon"] = seconds(lambda: iradon(sinogram, angles, circle=True), "cpu", 1)
    for name, geometry in (("parallel", parallel), ("fan", fan)):
        for count, stack in ((1, one), (many, batch)):
            lines = project(stack, PIXEL_MM, geometry)
            table[f"{name} project, batch of {count}"] = (
                seconds(lambda s=stack, g=geometry: project(s, PIXEL_MM, g), device, 1) / count
            )
            table[f"{name} FBP, batch of {count}"] = (
                seconds(lambda x=lines, g=geometry: filtered_back_projection(x, SIZE, PIXEL_MM, g, ramp), device)
                / count
            )
    hu = batch / 0.0193 * 1000 - 1000
    calibration = Calibration(2e5, KERNELS["standard"])
    for name, geometry in (("720 views", fan), ("984 views", SCANNERS["ge-lightspeed"])):
        simulator = LowDoseSimulator(geometry, DetectorModel(), slices_at_once=many)
        for count in (1, many):
            table[f"noise insertion, fan {name}, batch of {count}"] = (
                seconds(
                    lambda s=simulator, n=count: s.noise(hu[:n], (1.0, PIXEL_MM, PIXEL_MM), 0.25, calibration, seed=0),
                    device,
                )
                / count
            )

    reference = table["scikit-image radon"] + table["scikit-image iradon"]
    print(f"{'seconds per slice':48s} {'s':>8s} {'radon + iradon takes':>21s}")
    for name, value in table.items():
        print(f"{name:48s} {value:8.3f} {reference / value:19.1f} x")
    if options.json:
        options.json.write_text(json.dumps({"device": device, "threads": torch.get_num_threads(), **table}, indent=1))


if __name__ == "__main__":
    main()
