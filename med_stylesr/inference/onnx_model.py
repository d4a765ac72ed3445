"""The convolutions of a generator as an ONNX model: what OpenVINO and ONNX Runtime run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from med_stylesr.networks.generator import StyleSRGenerator

OPSET: Final = 17
"""Of ONNX: the newest that the converters of embedded processors commonly take."""
IMAGE: Final = "bounded"
CODE: Final = "code"
_TRACED_SLICES: Final = 4


class Convolutions(nn.Module):
    """`StyleSRGenerator.residuals` at one scale.

    Args:
        network: the generator.
        scale: factors per spatial axis.
    """

    def __init__(self, network: StyleSRGenerator, scale: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.scale = [int(s) for s in scale]

    def forward(self, bounded: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        """Bounded HU (1, C, H, W) or (1, 1, D, H, W) and a style code (1, style_dim) to residuals in HU."""
        return tuple(self.network.residuals(bounded, code, self.scale))


def convolutions_to_onnx(network: StyleSRGenerator, scale: Sequence[int]) -> bytes:
    """Serialised ONNX model with inputs `bounded` (any size that `network.multiple` divides) and `code`.

    Raises:
        ModuleNotFoundError: without the package onnx.
    """
    dims = network.spatial_dims
    shape = [1, network.in_channels, *([_TRACED_SLICES] * (dims - 2)), 2 * network.multiple, 2 * network.multiple]
    names = ["slices", "rows", "columns"][3 - dims :]
    wrapped = Convolutions(network, scale)
    inputs = (torch.zeros(shape), network.style_code(network.style_names[0]).detach())
    outputs = ["residual", "residual_at_scale_1"][: len(wrapped(*inputs))]
    return export_onnx(wrapped, inputs, [IMAGE, CODE], outputs, {IMAGE: {i + 2: name for i, name in enumerate(names)}})


def export_onnx(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    free_axes: dict[str, dict[int, str]],
    *,
    opset: int = OPSET,
) -> bytes:
    """Serialised ONNX model of a module.

    Args:
        module: in evaluation mode.
        example: inputs it is traced with.
        inputs: their names.
        outputs: names of what it gives.
        free_axes: names of the axes, by input, whose size is left open.
        opset: version of ONNX's operators.

    Raises:
        ModuleNotFoundError: without the package onnx.
    """
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        path = Path(folder) / "model.onnx"
        # The exporter through torch.export makes an equal graph in fifteen times the time, which a first start cannot
        # spare; warnings are about the older one, and about sizes that free_axes leaves open.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            path,
            dynamo=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free_axes,
        )
        return path.read_bytes()
