"""The convolutions of a generator as a plain graph that converters for embedded processors take: one style, one size.

What such tools stumble over is worked into weights beforehand: the modulation by the style into the convolution before
it, windows and the rearrangement to half resolution into the first convolution, the unit of the output into the last.
What stays are nine kinds of nodes, all shapes known, at most four axes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from med_stylesr.errors import UsageError
from med_stylesr.inference.onnx_model import export_onnx
from med_stylesr.networks.adain import FiLM
from med_stylesr.networks.blocks import LightBlock, ResidualBlock, Stage
from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.upsample import nearest_upsample

MOBILE_OPSET: Final = 13
OPSETS: Final = range(13, 18)
"""Versions of ONNX's default operators that converters of embedded processors commonly take."""
OPERATORS: Final = frozenset(
    {"Add", "Cast", "Concat", "Constant", "Conv", "DepthToSpace", "Identity", "LeakyRelu", "Resize", "Tanh"}
)
"""Nodes that may occur. All of them are in the lists of Qualcomm's converters, of ONNX Runtime's package for phones and
(Cast and Identity aside, which a float32 model has none of) of FuriosaAI's compiler from 0.7.

Source: https://docs.qualcomm.com/bundle/publicresource/80-63442-10/topics/supported_onnx_ops.md
https://onnxruntime.ai/docs/reference/operators/mobile_package_op_type_support_1.11.html
https://developer.furiosa.ai/docs/v0.9.0/ko/npu/supported_operators.html
"""
MOST_AXES: Final = 4
_HEAD: Final = "head"
_VIEWS: Final = ("full.", "windows.")
"""Names in `PlainConvolutions`: its first layer on features, and what is before it."""
_DEFAULT_DOMAIN: Final = ("", "ai.onnx")
INPUT: Final = "bounded"
OUTPUTS: Final = ("residual", "residual_at_scale_1")


class PlainConvolutions(nn.Module):
    """`StyleSRGenerator.residuals` at one scale and style, of convolutions and pointwise nodes alone.

    Args:
        network: 2D, with blocks of the kinds "residual" or "light", modulation "film" and no attention.
        scale: factors along rows and columns, equal.
        style: name of a style.

    Raises:
        UsageError: for any other network or scale.
    """

    def __init__(self, network: StyleSRGenerator, scale: Sequence[int], style: str) -> None:
        super().__init__()
        _require_plain(network, scale)
        code = network.style_code(style).detach()
        views = _views(network)
        self.full, self.windows = views[0], views[1] if len(views) > 1 else None
        self.head = _with(network.head)
        self.down_stages = nn.ModuleList(_PlainStage(stage, code) for stage in network.down_stages)
        self.downs = nn.ModuleList(_with(down) for down in network.downs)
        self.bottom = _PlainStage(network.bottom, code)
        self.ups = nn.ModuleList(_with(up) for up in network.ups)
        self.up_stages = nn.ModuleList(_PlainStage(stage, code) for stage in network.up_stages)
        wanted = [list(scale)]
        if network.has_unit_head and list(scale) != network.scales_unit:
            wanted.append(network.scales_unit)
        hu = torch.tensor(network.residual_hu)
        self.tails = nn.ModuleList(_with(network.tails[network.scales.index(one)], hu, 0 * hu) for one in wanted)
        self.factors = [2 * one[0] for one in wanted]

    def forward(self, bounded: Tensor) -> tuple[Tensor, ...]:
        """HU clamped to the network's range (1, C, H, W) to corrections in HU before the lock."""
        views = self.full(bounded)
        if self.windows is not None:
            views = torch.cat([views, torch.tanh(self.windows(bounded))], dim=1)
        x = self.head(views)
        skips: list[Tensor] = []
        for stage, down in zip(self.down_stages, self.downs, strict=True):
            skips.append(stage(x))
            x = down(skips[-1])
        x = self.bottom(x)
        for up, stage in zip(self.ups, self.up_stages, strict=True):
            x = stage(nearest_upsample(up(x), [2, 2]) + skips.pop())
        fine = [
            functional.pixel_shuffle(tail(x), factor) for tail, factor in zip(self.tails, self.factors, strict=True)
        ]
        return tuple(one if one.dtype == torch.float32 else one.float() for one in fine)


class _PlainStage(nn.Module):
    def __init__(self, stage: nn.Module, code: Tensor) -> None:
        super().__init__()
        assert isinstance(stage, Stage)
        self.blocks = nn.ModuleList(_PlainBlock(block, code) for block in stage.blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class _PlainBlock(nn.Module):
    """A residual block with its modulation worked into the convolution before it."""

    def __init__(self, block: nn.Module, code: Tensor) -> None:
        super().__init__()
        assert isinstance(block, (ResidualBlock, LightBlock))
        assert isinstance(block.style, FiLM)
        gain, shift = block.style.affine(code).detach()[0].chunk(2)
        if isinstance(block, ResidualBlock):
            before, after = [_with(block.first, 1 + gain, shift)], [_with(block.second)]
        else:
            before = [_with(block.depthwise), _with(block.mix, 1 + gain, shift)]
            after = [_with(block.depthwise_out), _with(block.mix_out)]
        self.layers = nn.Sequential(*before, nn.LeakyReLU(block.act.negative_slope), *after)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.layers(x)
        return result


def mobile_onnx(network: StyleSRGenerator, scale: Sequence[int], style: str, image: Tensor, precision: str) -> bytes:
    """Serialised ONNX model for images of the size of `image` only.

    Args:
        network: see `PlainConvolutions`.
        scale: see there.
        style: see there.
        image: HU (1, C, H, W); the model takes it as `network.bounded` gives it.
        precision: "float32" or "float16", of the convolutions; inputs and outputs are float32.

    Raises:
        UsageError: for a network, scale or size that gives no plain graph.
        ModuleNotFoundError: without the package onnx.
    """
    plain = PlainConvolutions(network, scale, style).eval()
    bounded = network.bounded(image)
    names = OUTPUTS[: len(plain.tails)]
    model = export_onnx(plain, (bounded,), [INPUT], names, {}, opset=MOBILE_OPSET)
    model = _halved(model) if precision == "float16" else model
    problems = graph_problems(model)
    if problems:
        raise UsageError("the exported graph", f"is not what embedded processors take: {'; '.join(problems)}")
    return model


def _halved(model: bytes) -> bytes:
    """The same with float16 from the first layer of the trunk to the outputs; the views of HU stay float32."""
    import onnx

    loaded = onnx.load_from_string(model)
    graph, half = loaded.graph, onnx.TensorProto.FLOAT16
    head = next(node for node in graph.node if f"{_HEAD}.weight" in node.input)
    cast = onnx.helper.make_node("Cast", [head.input[0]], [f"{_HEAD}.input"], to=half)
    graph.node.insert(list(graph.node).index(head), cast)
    head.input[0] = cast.output[0]
    weights = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    for stored in graph.initializer:
        if stored.name in weights and not stored.name.startswith(_VIEWS):
            values = onnx.numpy_helper.to_array(stored).astype(np.float16)
            stored.CopyFrom(onnx.numpy_helper.from_array(values, stored.name))
    for output in graph.output:
        last = next(node for node in graph.node if output.name in node.output)
        last.output[0] = f"{output.name}.half"
        graph.node.append(onnx.helper.make_node("Cast", [last.output[0]], [output.name], to=onnx.TensorProto.FLOAT))
    del graph.value_info[:]
    content: bytes = loaded.SerializeToString()
    return content


def graph_problems(model: bytes) -> list[str]:
    """What a converter for an embedded processor would refuse in a serialised ONNX model; empty for a plain one."""
    import onnx

    loaded = onnx.load_from_string(model)
    onnx.checker.check_model(loaded, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(loaded, strict_mode=True).graph
    used = [(one.domain, one.version) for one in loaded.opset_import]
    problems = [f"operators of the domain {domain}" for domain, _ in used if domain not in _DEFAULT_DOMAIN]
    problems += [f"opset {version}" for domain, version in used if domain in _DEFAULT_DOMAIN and version not in OPSETS]
    strange = sorted({node.op_type for node in inferred.node} - OPERATORS)
    problems += [f"operators {', '.join(strange)}"] if strange else []
    for value in (*inferred.input, *inferred.output, *inferred.value_info):
        sizes = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if not all(sizes):
            problems.append(f"{value.name} has no fixed shape")
        if len(sizes) > MOST_AXES:
            problems.append(f"{value.name} has {len(sizes)} axes")
    return problems


def operator_counts(model: bytes) -> dict[str, int]:
    """How often each operator occurs, constants aside."""
    import onnx

    nodes = onnx.load_from_string(model).graph.node
    return dict(sorted(Counter(node.op_type for node in nodes if node.op_type != "Constant").items()))


def _require_plain(network: StyleSRGenerator, scale: Sequence[int]) -> None:
    if network.spatial_dims != 2:
        raise UsageError("--runtime mobile", "takes 2D networks: few embedded processors have 3D convolutions")
    if len(set(scale)) != 1:
        raise UsageError(f"--scale {' '.join(map(str, scale))}", "must be equal along rows and columns here")
    for module in network.modules():
        if isinstance(module, Stage):
            kinds = {type(block) for block in module.blocks} - {ResidualBlock, LightBlock}
            styled = all(isinstance(block.style, FiLM) for block in module.blocks)
            if kinds or not styled or not isinstance(module.attention, nn.Identity):
                why = "has other parts than blocks of the kinds residual and light, modulation film, and no attention"
                raise UsageError("the network of the bundle", why, "train such a bundle for embedded processors")


def _with(layer: nn.Module, gain: Tensor | None = None, shift: Tensor | None = None) -> nn.Conv2d:
    """A copy of a convolution whose result is gain · result + shift, each one per output channel or one for all."""
    assert isinstance(layer, nn.Conv2d)
    settings: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    copy = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, bias=True, **settings)  # type: ignore[arg-type]
    weight, bias = layer.weight.detach().clone(), torch.zeros(layer.out_channels)
    if layer.bias is not None:
        bias = layer.bias.detach().clone()
    if gain is not None and shift is not None:
        weight, bias = weight * gain.reshape(-1, 1, 1, 1), bias * gain + shift
    copy.weight, copy.bias = nn.Parameter(weight), nn.Parameter(bias)
    return copy


def _views(network: StyleSRGenerator) -> list[nn.Conv2d]:
    """The image in [0, 1], and through all windows before their tanh, at half resolution; each one convolution."""
    full = (1 / (network.hu_max - network.hu_min), -network.hu_min / (network.hu_max - network.hu_min))
    windows = [(2 / width, -2 * centre / width) for centre, width in network.windows]
    return [_unshuffle(network.in_channels, lines) for lines in ([full], windows) if lines]


def _unshuffle(channels: int, lines: Sequence[tuple[float, float]]) -> nn.Conv2d:
    """Lines slope · x + offset, each rearranged to half resolution as by `space_to_channels`."""
    one_hot = torch.eye(4 * channels).reshape(4 * channels, channels, 2, 2)
    result = nn.Conv2d(channels, 4 * channels * len(lines), 2, stride=2)
    result.weight = nn.Parameter(torch.cat([slope * one_hot for slope, _ in lines]))
    result.bias = nn.Parameter(torch.cat([torch.full((4 * channels,), offset) for _, offset in lines]))
    return result
