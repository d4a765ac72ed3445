"""How fast the shipped bundles run, in one run: runtimes, peers' networks, peak, whole scans, start. Writes a page.

    PYTHONPATH=tests python -m benchmarks.speed docs/validation/speed.md [--rounds 5] [--slices 50 150 300]

Networks: CPU time of this process on one thread, medians, everything in turn, so that other work on the machine
disturbs the ratios least. Seconds do not hold from machine to machine, ratios do. Whole scans: the program on all
cores; those seconds mean something on an idle machine only.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from benchmarks import end_to_end, speed_targets
from benchmarks.cost import giga_macs
from benchmarks.peers.red_cnn import RedCNN
from benchmarks.peers.wgan_vgg import WganVggGenerator
from numpy.typing import NDArray
from torch import nn

from med_stylesr.inference.bundle import LoadedBundle, load_bundle
from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_FAST
from med_stylesr.inference.choice import choose_runtime
from med_stylesr.inference.parity import Parity
from med_stylesr.inference.runtime import Runtime
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity

SAMPLE: Final = Path(__file__).resolve().parents[1] / "data" / "lidc_idri_0001"
KINDS: Final = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("onnx", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)
STYLE: Final = "normal-dose"
PRECISIONS: Final = ("float32", "bfloat16")
DENSE_GMAC: Final = 64 * 64 * 9 * 256 * 256 / 1e9
"""Of the convolution that the peak is measured on: 64 features, 256 x 256."""

Hu = NDArray[np.float32]
Rows = list[list[str]]


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, nargs="+", default=[50, 150, 300], help="lengths of whole scans")
    parser.add_argument("--through-plane", type=int, default=100, help="slices of the scan that 3D is timed on")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    low, normal = (volume(SAMPLE / name) for name in ("quarter_dose", "normal_dose"))
    bundle = load_bundle(BUNDLE_2D, torch.device("cpu"))
    runtimes = [choose_runtime(bundle, torch.device("cpu"), *kind) for kind in KINDS]
    image = torch.from_numpy(low[4:7])[None]
    seconds = in_turn(calls(bundle, runtimes, image), arguments.rounds)
    with end_to_end.runs(SAMPLE / "quarter_dose") as program:
        for scale, name in (((1, 1, 1), BUNDLE_2D), ((2, 1, 1), BUNDLE_2D), ((1, 1, 1), BUNDLE_FAST)):
            program.run(9, scale, name)
        lengths = sorted(arguments.slices)
        scans = [program.run(count) for count in lengths]
        ends = (lengths[0], lengths[-1])
        fast = [program.run(count, bundle=BUNDLE_FAST) for count in ends]
        program.run(9, precision="int8")
        eight = [program.run(count, precision="int8") for count in ends]
        deep = program.run(arguments.through_plane, (2, 1, 1))
    peers, shares = peer_rows(bundle, seconds)
    parts = {
        "machine": machine(load, seconds),
        "runtimes": runtime_rows(runtimes, seconds, low, normal),
        "peers": peers,
        "scans": end_to_end.rows([scans, fast, eight], deep),
        "start": start_rows(),
        "targets": speed_targets.rows(seconds, shares, [scans, fast, eight], deep),
    }
    text = arguments.page.read_text(encoding="utf-8")
    for name, rows in parts.items():
        text = replaced(text, name, rows if isinstance(rows, str) else table(rows))
    arguments.page.write_text(text, encoding="utf-8")


def machine(load: float, seconds: dict[str, float]) -> str:
    """What it ran on, and what that can do."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    names = [known[key] for key in ("model name",) if key in known]
    names += [f"{key} {known[key]}" for key in ("cpu family", "model") if key in known]
    kind = ", ".join([platform.machine(), *names, torch.backends.cpu.get_cpu_capability()])
    peaks = " and ".join(
        f"{2 * DENSE_GMAC / seconds[f'peak {precision}']:.0f} GFLOP/s in {precision}" for precision in PRECISIONS
    )
    return (
        f"{kind}, {os.cpu_count()} processors; dense convolutions reach {peaks} on one of them. "
        f"Load when the run began: {load:.1f}."
    )


def volume(folder: Path) -> Hu:
    """The CT in a folder."""
    with find_inputs(folder) as inputs:
        return np.asarray(read_volume(inputs.series[0]).hu, dtype=np.float32)


def calls(bundle: LoadedBundle, runtimes: list[Runtime], image: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Everything that is timed, by name."""
    one = image[:, 1:2]
    found: dict[str, Callable[[], object]] = {}
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        dense = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last).to(dtype)
        maps = torch.randn(1, 64, 256, 256).to(dtype).contiguous(memory_format=torch.channels_last)
        found[f"peak {precision}"] = lambda dense=dense, maps=maps: dense(maps)
    code = runtimes[0].style_code(STYLE)
    for runtime in runtimes:
        for scale in ([1, 1], [2, 2]):
            name = f"{runtime.name} {runtime.precision} x{scale[0]}"
            found[name] = lambda runtime=runtime, scale=scale: runtime.run(image, code, scale)
        bounded = bundle.network.bounded(image)
        found[f"{runtime.name} {runtime.precision} convolutions"] = lambda runtime=runtime, bounded=bounded: (
            runtime.residuals(bounded, code, [1, 1])
        )
    for name, peer in (("RED-CNN", RedCNN()), ("WGAN-VGG", WganVggGenerator())):
        found[name] = lambda peer=peer: peer(one)
    return found


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of one call of this process."""
    started = time.process_time()
    run()
    return time.process_time() - started


def in_turn(timed: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each, after a call to warm up; each once in every round."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for run in timed.values():
        run()
    for _ in range(rounds):
        for name, run in timed.items():
            taken[name].append(cpu_seconds(run))
    return {name: statistics.median(each) for name, each in taken.items()}


def runtime_rows(runtimes: list[Runtime], seconds: dict[str, float], low: Hu, normal: Hu) -> Rows:
    """Speed and agreement with float32 torch, over the inner slices of the sample."""
    base = seconds["torch float32 x1"]
    wanted = enhanced(runtimes[0], low)
    rows = [["runtime", "precision", "×1", "×2", "convolutions alone", "max HU", "99.9 %", "mean", "bias", "PSNR dB"]]
    before = psnr(wanted, normal)
    for runtime in runtimes:
        name = f"{runtime.name} {runtime.precision}"
        result = enhanced(runtime, low)
        parity = Parity.between(torch.from_numpy(result), torch.from_numpy(wanted))
        rows.append(
            [
                f"{runtime.name} {runtime.version}",
                runtime.precision,
                *(f"{seconds[f'{name} {part}'] / base:.2f}" for part in ("x1", "x2", "convolutions")),
                *(f"{value:.2g}" for value in (parity.max_hu, parity.p999_hu, parity.mean_hu)),
                f"{parity.bias_hu:+.1g}",
                f"{psnr(result, normal) - before:+.4f}",
            ]
        )
    return rows


def enhanced(runtime: Runtime, low: Hu) -> Hu:
    """Every third inner slice at full strength."""
    code = runtime.style_code(STYLE)
    parts = []
    for k in range(1, len(low) - 1, 3):
        base, correction = runtime.run(torch.from_numpy(low[k - 1 : k + 2])[None], code, [1, 1])
        parts.append((base + correction)[0, 0].numpy())
    return np.stack(parts)


def psnr(result: Hu, normal: Hu) -> float:
    """Mean over slices, dB, in the convention of RED-CNN."""
    labels = normal[1:-1:3]
    pairs = zip(result, labels, strict=True)
    return float(np.mean([slice_fidelity(a, b, CONVENTIONS["redcnn"])["psnr_db"] for a, b in pairs]))


def peer_rows(bundle: LoadedBundle, seconds: dict[str, float]) -> tuple[Rows, dict[str, float]]:
    """Cost of peers' networks in eager torch, and the share of the convolution peak that each and ours reach."""
    fastest = seconds[speed_targets.fastest(seconds)]
    shares: dict[str, float] = {}
    rows = [["network", "GMAC", "time, ours = 1", "share of its precision's peak"]]
    ours = giga_macs(copy.deepcopy(bundle.network).requires_grad_(False), 3)
    for precision in PRECISIONS:
        peak = DENSE_GMAC / seconds[f"peak {precision}"]
        runs = {n: v for n, v in seconds.items() if n.endswith("convolutions") and precision in n}
        best = min(runs, key=lambda name: runs[name])
        whole = seconds[best.replace("convolutions", "x1")] / fastest
        shares[precision] = ours / runs[best] / peak
        rows.append([f"ours, {best}", f"{ours:.1f}", f"{whole:.2f} (whole)", f"{shares[precision]:.0%}"])
    for name, peer in (("RED-CNN", RedCNN()), ("WGAN-VGG", WganVggGenerator())):
        macs, peak = giga_macs(peer.requires_grad_(False), 1), DENSE_GMAC / seconds["peak float32"]
        rows.append([name, f"{macs:.1f}", f"{seconds[name] / fastest:.1f}", f"{macs / seconds[name] / peak:.0%}"])
    return rows, shares


def start_rows() -> Rows:
    """CPU time of the program, processes it starts included, on the smallest scan: first start, and one after it."""
    rows = [["start", "CPU seconds, 3 slices in and out included"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in sorted((SAMPLE / "quarter_dose").iterdir())[:3]:
            (folder / "in").mkdir(exist_ok=True)
            (folder / "in" / path.name).symlink_to(path)
        environment = os.environ | {"MED_STYLESR_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        for told in ("first, nothing cached", "second"):
            command = [sys.executable, "-m", "med_stylesr", "enhance", "in", "out", "--no-report", "--overwrite"]
            before = children()
            subprocess.run([*command, "--no-isolate"], cwd=folder, env=environment, check=True, capture_output=True)
            rows.append([told, f"{children() - before:.1f}"])
    return rows


def children() -> float:
    """CPU seconds of all processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def table(rows: Rows) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def replaced(text: str, name: str, content: str) -> str:
    """The page with what lies between two marks replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{content}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    main()
