"""A bundle's whole network, HU in and HU out with the lock inside, as one file for another runtime, with its proof."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from med_stylesr import __version__
from med_stylesr.deploy import mobile
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.onnx_model import OPSET, export_onnx
from med_stylesr.inference.parity import Parity, phantom
from med_stylesr.inference.runtime import BFLOAT16, FLOAT32
from med_stylesr.networks.generator import StyleSRGenerator

ONNX: Final = "onnx"
OPENVINO: Final = "openvino"
TORCHSCRIPT: Final = "torchscript"
MOBILE: Final = "mobile"
RUNTIMES: Final = (ONNX, OPENVINO, TORCHSCRIPT, MOBILE)
FLOAT16: Final = "float16"
MOBILE_SIZE: Final = (512, 512)
"""Rows and columns of a model for embedded processors if none are asked for: what scanners reconstruct."""
INPUT: Final = "image"
OUTPUTS: Final = ("base", "correction")

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        runtime: one of `RUNTIMES`.
        scale: factors per spatial axis, of one of the network's heads.
        style: a style of the bundle; it becomes part of the model.
        size: rows and columns if they are to be fixed, or None for any (`MOBILE_SIZE` for embedded processors).
        precision: of the convolutions, "float32", or "float16" for embedded processors.
    """

    runtime: str
    scale: tuple[int, ...]
    style: str
    size: tuple[int, int] | None
    precision: str = FLOAT32


class WholeNetwork(nn.Module):
    """`StyleSRGenerator.base_and_correction` with scale and style fixed.

    Args:
        network: the generator.
        scale: factors per spatial axis.
        style: name of a style.
    """

    def __init__(self, network: StyleSRGenerator, scale: Sequence[int], style: str) -> None:
        super().__init__()
        self.network = network
        self.scale = [int(s) for s in scale]
        self.style = style
        self.code = nn.Buffer(network.style_code(style).detach().clone())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """HU (B, C, H, W) or (B, 1, D, H, W) to base and correction; the result is base + strength · correction."""
        code = self.code.expand(image.shape[0], -1)
        both: tuple[Tensor, Tensor] = self.network.base_and_correction(image, code, self.scale)
        return both


def export_bundle(bundle: LoadedBundle, options: ExportOptions, out: Path) -> dict[str, Any]:
    """Write the model and `export.json` beside it: what it is, its hashes, and how far it is from float32 torch.

    Nothing is left in `out` of a model that drifts.

    Args:
        bundle: loaded on the CPU.
        options: what to export.
        out: folder; made if needed.

    Returns:
        The content of `export.json`.

    Raises:
        UsageError: for a scale, style or size that the network does not have, or a package that is missing.
        InputError: if `out` cannot be written, or the exported model drifts.
    """
    network = bundle.network
    _check(network, options, bundle.name)
    if options.runtime == MOBILE and options.size is None:
        options = replace(options, size=MOBILE_SIZE)
    whole = WholeNetwork(network, options.scale, options.style).eval()
    image = _sample(network, options.size)
    stem = f"{bundle.name}-{'x'.join(map(str, options.scale))}-{options.style}"
    if options.runtime == MOBILE:
        stem += "-mobile" if options.precision == FLOAT32 else f"-mobile-{options.precision}"
    written: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        try:
            run = _WRITERS[options.runtime](whole, image, out / stem, options, written)
            parity = _parity(run, whole, image)
            drift = parity.drift(FLOAT32 if options.precision == FLOAT32 else BFLOAT16)
        except ModuleNotFoundError as error:
            todo = f"pip install 'med-stylesr[{ONNX if options.runtime != OPENVINO else OPENVINO}]'"
            raise UsageError(f"--runtime {options.runtime}", f"needs the package {error.name}", todo) from error
        if drift:
            why = f"the exported model drifts from float32 torch: {drift}"
            raise InputError(bundle.name, why, "use another --runtime; please report it")
        record = _record(bundle, options, image, written, parity)
        path = out / f"{stem}.{options.runtime}.json"
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except BaseException as error:
        for leftover in written:
            leftover.unlink(missing_ok=True)
        if isinstance(error, OSError):
            why = f"cannot be written ({error.strerror or error})"
            raise InputError(str(out), why, "choose another folder") from error
        raise
    return record


def _check(network: StyleSRGenerator, options: ExportOptions, name: str) -> None:
    if options.runtime not in RUNTIMES:
        raise UsageError(f"--runtime {options.runtime}", "cannot be exported to", f"use one of: {', '.join(RUNTIMES)}")
    if list(options.scale) not in network.scales:
        offered = ", ".join(" ".join(map(str, scale)) for scale in network.scales)
        raise UsageError(f"--scale {' '.join(map(str, options.scale))}", f"{name} offers {offered}")
    if options.style not in network.style_names:
        raise UsageError(f"--style {options.style}", f"{name} has {', '.join(network.style_names)}")
    if options.size is not None and min(options.size) < network.multiple:
        raise UsageError(
            f"--size {options.size[0]} {options.size[1]}", f"is below {network.multiple} x {network.multiple}"
        )
    if options.precision not in (FLOAT32, FLOAT16):
        raise UsageError(f"--precision {options.precision}", "is unknown", f"use {FLOAT32} or {FLOAT16}")
    if options.precision == FLOAT16 and options.runtime != MOBILE:
        why = "would put the HU themselves into float16, where a step is 2 HU at 3000 HU"
        raise UsageError(f"--precision {FLOAT16}", why, f"use it with --runtime {MOBILE}, whose input stays float32")


def _sample(network: StyleSRGenerator, size: tuple[int, int] | None) -> Tensor:
    """The phantom, repeated and cut to the size of the model."""
    image = phantom(network)
    if size is None:
        return image
    repeats = [-(-want // have) for want, have in zip(size, image.shape[-2:], strict=True)]
    return image.repeat([1] * (image.dim() - 2) + repeats)[..., : size[0], : size[1]].contiguous()


def _parity(run: Run, whole: WholeNetwork, image: Tensor) -> Parity:
    with torch.no_grad():
        reference = torch.cat([part.flatten() for part in whole(image)])
    result = torch.cat([torch.from_numpy(np.array(part)).flatten() for part in run(image.numpy())])
    return Parity.between(result, reference)


def _write_onnx(whole: WholeNetwork, image: Tensor, stem: Path, options: ExportOptions, written: list[Path]) -> Run:
    from med_stylesr.inference.quiet_onnxruntime import onnxruntime

    path = _written(written, stem, ".onnx")
    path.write_bytes(_onnx(whole, image, options.size is None))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda hu: session.run(list(OUTPUTS), {INPUT: hu})


def _write_openvino(whole: WholeNetwork, image: Tensor, stem: Path, options: ExportOptions, written: list[Path]) -> Run:
    from med_stylesr.inference.quiet_openvino import openvino

    core = openvino.Core()
    path = _written(written, stem, ".xml")
    _written(written, stem, ".bin")
    openvino.save_model(core.read_model(_onnx(whole, image, options.size is None), b""), path, compress_to_fp16=False)
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda hu: list(compiled([hu]).values())


def _write_torchscript(
    whole: WholeNetwork, image: Tensor, stem: Path, options: ExportOptions, written: list[Path]
) -> Run:
    path = _written(written, stem, ".ts")
    # Scripted, not traced: sizes stay free in any case.
    torch.jit.save(torch.jit.script(whole), str(path))
    loaded = torch.jit.load(str(path))  # type: ignore[no-untyped-call]

    def run(hu: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            return [part.numpy() for part in loaded(torch.from_numpy(hu))]

    return run


def _write_mobile(whole: WholeNetwork, image: Tensor, stem: Path, options: ExportOptions, written: list[Path]) -> Run:
    """The convolutions only; what runs them does the rest as every runtime of this program does."""
    from med_stylesr.inference.quiet_onnxruntime import onnxruntime

    path, network = _written(written, stem, ".onnx"), whole.network
    path.write_bytes(mobile.mobile_onnx(network, whole.scale, whole.style, image, options.precision))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(hu: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        given = torch.from_numpy(hu)
        with torch.no_grad():
            residuals = session.run(None, {mobile.INPUT: network.bounded(given).numpy()})
            both = network.compose(given, [torch.from_numpy(one) for one in residuals], whole.scale)
        return [part.numpy() for part in both]

    return run


_WRITERS: Final = {
    ONNX: _write_onnx,
    OPENVINO: _write_openvino,
    TORCHSCRIPT: _write_torchscript,
    MOBILE: _write_mobile,
}


def _onnx(whole: WholeNetwork, image: Tensor, any_size: bool) -> bytes:
    names = dict(enumerate(["slices", "rows", "columns"][5 - image.dim() :], start=2))
    return export_onnx(whole, (image,), [INPUT], OUTPUTS, {INPUT: names} if any_size else {})


def _written(written: list[Path], stem: Path, ending: str) -> Path:
    """A path for a file, which is removed again if the export fails; appended, since a style may have a dot."""
    path = stem.with_name(stem.name + ending)
    written.append(path)
    return path


def _record(
    bundle: LoadedBundle, options: ExportOptions, image: Tensor, written: Sequence[Path], parity: Parity
) -> dict[str, Any]:
    shape: list[int | str] = list(image.shape)
    if options.size is None:
        shape[2:] = ["any"] * (image.dim() - 2)
    told: dict[str, Any] = {
        "input": {"name": INPUT, "unit": "HU", "dtype": "float32", "shape": shape},
        "outputs": {"names": list(OUTPUTS), "unit": "HU", "result": "base + strength * correction"},
    }
    if options.runtime == MOBILE:
        low, high = bundle.network.hu_min, bundle.network.hu_max
        rows, columns = bundle.network.bounded(image).shape[-2:]
        names = list(mobile.OUTPUTS[: 1 if options.scale == (1, 1) else 2])
        told["input"] |= {"name": mobile.INPUT, "shape": [*image.shape[:2], rows, columns], "range": [low, high]}
        told["outputs"] = {"names": names, "unit": "HU", "result": "before the HU lock, which is not in the model"}
        told["operators"] = mobile.operator_counts(written[0].read_bytes())
    opset = mobile.MOBILE_OPSET if options.runtime == MOBILE else OPSET
    return {
        "schema": "med-stylesr/export/1",
        "tool": {"name": "med-stylesr", "version": __version__},
        "bundle": {"name": bundle.name, "version": bundle.version, "weights_sha256": bundle.weights_sha256},
        **asdict(options),
        **({} if options.runtime == TORCHSCRIPT else {"onnx_opset": opset}),
        **told,
        "parity_with_float32_torch": asdict(parity),
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in written},
    }
