r"""Give a 2D bundle a model whose inner convolutions multiply 8-bit integers: `enhance --precision int8`.

    pip install nncf torchao
    python tools/quantise_bundle.py bundles/ldct_stylesr_2d --cache cache/train --run-dir runs/int8

NNCF puts the steps of 8-bit numbers into the network as it runs; then the network learns, on cached real scans
(`med-stylesr data prepare`), to give what it gave without them. Layers that were measured to be sensitive stay as they
are: the first and the last, and those at the finest resolution. The model is for scale 1 and belongs to the weights it
was made of. Training goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import nncf
import torch
from nncf.torch import wrap_model
from torch import Tensor, nn

from med_stylesr.engines.pair_batches import PairBatches
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.onnx_model import CODE, IMAGE
from med_stylesr.inference.quantised import FILE, INFO
from med_stylesr.inference.quiet_openvino import openvino
from med_stylesr.networks.generator import StyleSRGenerator

STEPS = 1500
LEARNING_RATE = 1e-5
SEED = 77
CALIBRATED_ON = 32
"""Pieces of scans from which the ranges of numbers are taken at first."""
FLOAT_KINDS = ["add", "mul", "linear", "sub", "div", "tanh", "cat", "permute", "reshape", "float"]
"""What stays in floating point besides sensitive convolutions: sums of blocks, styles and the views of the image."""
CALIBRATION: dict[str, Any] = {"batch_size": 1, "patch": 384, "dose_range": (0.15, 0.4), "air": 0.3}
"""Most of a slice at usual doses: ranges that hold the noise of a twentieth of the dose are too coarse for others."""
TRAINING: dict[str, Any] = {
    "batch_size": 4,
    "patch": 96,
    "dose_range": (0.05, 1.0),
    "air": 0.2,
    "variety": {
        "mix": 0.6,
        "refilter": 0.5,
        "f50_px": [0.1, 0.8],
        "boost": 1.5,
        "magnify": 0.25,
        "largest": 1.7,
        "halve": 0.3,
    },
}


class _Residual(nn.Module):
    """The convolutions at scale 1 with a plain tensor as their result."""

    def __init__(self, network: StyleSRGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, bounded: Tensor, code: Tensor) -> Tensor:
        return self.network.residuals(bounded, code, self.network.scales_unit)[0]


def main() -> None:
    """Quantise, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle, torch.device("cpu"))
    if bundle.network.spatial_dims != 2:
        parser.error("only 2D bundles are quantised by this tool")
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    batches = _batches(bundle.network, arguments.cache, TRAINING)
    seen = _batches(bundle.network, arguments.cache, CALIBRATION)
    calibration = [_inputs(bundle.network, seen[i]) for i in range(CALIBRATED_ON)]
    exact = _Residual(copy.deepcopy(bundle.network)).eval().requires_grad_(False)
    student = _Residual(bundle.network)
    quantised = nncf.quantize(
        student,
        nncf.Dataset(calibration, lambda inputs: inputs),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=CALIBRATED_ON,
        ignored_scope=nncf.IgnoredScope(
            names=_sensitive(bundle.network, calibration[0]), types=FLOAT_KINDS, validate=False
        ),
    )
    _learn(quantised, exact, bundle.network, batches, arguments.run_dir / "last.pt")
    _write(quantised.eval(), calibration[0], bundle.weights_sha256, bundle.path / FILE)


def _batches(network: StyleSRGenerator, cache: Path, plan: dict[str, Any]) -> PairBatches:
    named = [name for name in ("normal-dose", "smooth", "soft", "sharp") if name in network.style_names]
    trained = ["noise-free"] * len(named) * ("noise-free" in network.style_names) + named
    styles = {"styles": network.style_names, "trained_styles": trained}
    return PairBatches(cache, 10**6, SEED, slices=network.in_channels, scales=[[1, 1]], **styles, **plan)


def _inputs(network: StyleSRGenerator, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    return network.bounded(batch["image"]), network.style_bank[batch["style"]].detach()


def _sensitive(network: StyleSRGenerator, inputs: tuple[Tensor, Tensor]) -> list[str]:
    """NNCF's names of the convolutions that stay in floating point."""
    exact = ("head.", "tails.", "down_stages.0.", f"up_stages.{len(network.up_stages) - 1}.")
    graph = wrap_model(_Residual(network), example_input=inputs, trace_parameters=True).get_graph()
    return [
        user.node_name
        for node in graph.get_all_nodes()
        if node.node_name.startswith(tuple(f"network.{prefix}" for prefix in exact))
        for user in graph.get_next_nodes(node)
        if user.node_type == "conv2d"
    ]


def _learn(quantised: nn.Module, exact: nn.Module, network: StyleSRGenerator, batches: PairBatches, file: Path) -> None:
    """Bring the results of the quantised network to those of the exact one."""
    learned = [parameter for parameter in quantised.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS, pct_start=0.05)
    parts = {"q": quantised, "o": optimizer, "s": schedule}
    step = 0
    if file.is_file():
        state = torch.load(file, weights_only=True)
        step = state["i"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    quantised.train()
    began, sizes = time.monotonic(), []
    while step < STEPS:
        inputs = _inputs(network, batches[step])
        with torch.no_grad():
            wanted = exact(*inputs)
        difference = quantised(*inputs) - wanted
        # HU: the mean difference, large ones a little more, and none on average.
        loss = (torch.sqrt(difference**2 + 0.25) - 0.5).mean() + 0.02 * (difference**2).clamp(max=400).mean()
        loss = loss + difference.mean((1, 2, 3)).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(quantised.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        step += 1
        sizes.append(float(difference.detach().abs().mean()))
        if step % 200 == 0 or step == STEPS:
            torch.save({**{name: part.state_dict() for name, part in parts.items()}, "i": step}, file)
            print(f"{step} of {STEPS}, {time.monotonic() - began:.0f} s: {sum(sizes) / len(sizes):.2f} HU", flush=True)
            sizes = []


def _write(quantised: nn.Module, inputs: tuple[Tensor, Tensor], weights_sha256: str, path: Path) -> None:
    model = openvino.convert_model(nncf.strip(quantised, example_input=inputs), example_input=inputs)
    for port, name in zip(model.inputs, (IMAGE, CODE), strict=True):
        port.set_names({name})
    model.set_rt_info(weights_sha256, list(INFO))
    openvino.save_model(model, path, compress_to_fp16=False)


if __name__ == "__main__":
    main()
