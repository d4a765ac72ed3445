"""Every runtime gives what float32 torch gives, and none that does not is ever used."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from med_stylesr.errors import UsageError
from med_stylesr.inference import choice
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.choice import choose_runtime
from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.parity import LIMITS, Parity, compare, phantom
from med_stylesr.inference.runtime import BFLOAT16, FLOAT32, Runtime, TorchRuntime
from med_stylesr.inference.runtime_bfloat16 import BFloat16Runtime
from med_stylesr.inference.runtime_onnx import OnnxRuntime
from med_stylesr.inference.runtime_openvino import OpenVINORuntime
from med_stylesr.networks.generator import StyleSRGenerator

CPU = torch.device("cpu")


def network(spatial_dims: int) -> StyleSRGenerator:
    """Small, with tails that do something: corrections of some 20 HU."""
    torch.manual_seed(3)
    flat = spatial_dims == 2
    net = StyleSRGenerator(
        spatial_dims,
        in_channels=3 if flat else 1,
        features=[8, 16],
        num_blocks=[1, 1],
        scale=[1, 1] if flat else [2, 1, 1],
        extra_scales=[[2, 2]] if flat else (),
        style_dim=4,
    ).eval()
    for tail in net.tails:
        torch.nn.init.normal_(tail.weight, std=0.05)
    for module in net.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.2)
    return net


def bundle(net: StyleSRGenerator, root: Path) -> LoadedBundle:
    return LoadedBundle(root, "small", "0.0.1", net, "0" * 64, CachedModels(b"small", root=root), style_reference=False)


def made(kind: str, precision: str, net: StyleSRGenerator, root: Path) -> Runtime:
    models = CachedModels(b"made", root=root)
    if kind == "openvino":
        return OpenVINORuntime(net, precision, models)
    return OnnxRuntime(net, models) if kind == "onnx" else BFloat16Runtime(net)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(
    ("kind", "precision"), [("openvino", FLOAT32), ("onnx", FLOAT32), ("openvino", BFLOAT16), ("torch", BFLOAT16)]
)
def test_runtimes_agree_with_float32_torch(kind: str, precision: str, spatial_dims: int, tmp_path: Path) -> None:
    net = network(spatial_dims)
    reference, runtime = TorchRuntime(net), made(kind, precision, net, tmp_path)
    for scale in net.scales:
        assert compare(runtime, reference, scale).drift(precision) == ""


@pytest.mark.parametrize("kind", ["openvino", "onnx", "torch"])
def test_identity_path_is_float32_in_every_runtime(kind: str, tmp_path: Path) -> None:
    net = network(2)
    image = phantom(net)
    code = net.style_code("normal-dose").detach()
    base, _ = made(kind, BFLOAT16, net, tmp_path).run(image, code, [1, 1])
    assert torch.equal(base, image[:, 1:2])


def test_results_of_earlier_calls_survive_later_ones(tmp_path: Path) -> None:
    net = network(2)
    runtime = made("openvino", FLOAT32, net, tmp_path)
    code = net.style_code("normal-dose").detach()
    first = runtime.run(phantom(net), code, [1, 1])
    kept = [tensor.clone() for tensor in first]
    runtime.run(phantom(net) + 200, code, [1, 1])
    for tensor, before in zip(first, kept, strict=True):
        assert torch.equal(tensor, before)


def test_a_second_style_needs_no_second_model(tmp_path: Path) -> None:
    net = network(2)
    runtime, reference = made("openvino", FLOAT32, net, tmp_path), TorchRuntime(net)
    image = phantom(net)
    results = []
    for style in ("normal-dose", "sharp"):
        code = reference.style_code(style)
        results.append(runtime.run(image, code, [1, 1])[1])
        torch.testing.assert_close(results[-1], reference.run(image, code, [1, 1])[1], atol=0.05, rtol=0)
    assert (results[0] - results[1]).abs().max() > 0.1
    assert len(list(tmp_path.rglob("*.onnx"))) == 1


def test_runtime_that_drifts_is_replaced_and_told_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = OpenVINORuntime.residuals

    def shifted(self: OpenVINORuntime, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        residuals = wrong(self, bounded, code, scale)
        # Fine structure: the HU lock takes a plain shift away.
        residuals[0][..., ::2, ::2] += 30.0
        return residuals

    monkeypatch.setattr(OpenVINORuntime, "residuals", shifted)
    loaded = bundle(network(2), tmp_path)
    chosen = choose_runtime(loaded, CPU, "auto", FLOAT32)
    assert (chosen.name, chosen.precision) == ("torch", FLOAT32)
    assert len(chosen.notes) == 1
    assert "openvino in float32 was not used: drifts" in chosen.notes[0]
    with pytest.raises(UsageError, match="drifts"):
        choose_runtime(loaded, CPU, "openvino", FLOAT32)


def test_parity_is_checked_once_for_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr(choice, "compare", lambda *args: counted.append(1) or Parity(0, 0, 0, 0))
    loaded = bundle(network(2), tmp_path)
    for _ in range(2):
        choose_runtime(loaded, CPU, "openvino", FLOAT32)
    assert len(counted) == len(loaded.network.scales)
    monkeypatch.setattr(OpenVINORuntime, "version", "0.0")
    choose_runtime(loaded, CPU, "openvino", FLOAT32)
    assert len(counted) == 2 * len(loaded.network.scales)


def test_auto_is_openvino_on_a_cpu_and_torch_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "compare", lambda *args: Parity(0, 0, 0, 0))
    loaded = bundle(network(2), tmp_path)
    assert choose_runtime(loaded, CPU, "auto", FLOAT32).name == "openvino"
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    assert choose_runtime(loaded, CPU, "auto", FLOAT32).name == "torch"
    with pytest.raises(UsageError, match="pip install"):
        choose_runtime(loaded, CPU, "onnx")


def test_a_broken_installation_of_openvino_gives_way_to_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "med_stylesr.inference.runtime_openvino", None)
    monkeypatch.setattr(choice, "compare", lambda *args: Parity(0, 0, 0, 0))
    chosen = choose_runtime(bundle(network(2), tmp_path), CPU)
    assert chosen.name == "torch"
    assert "openvino in float32 was not used" in chosen.notes[0]


@pytest.mark.parametrize(
    ("runtime", "precision", "told"),
    [("tensorrt", "auto", "openvino"), ("auto", "int4", "bfloat16"), ("onnx", "bfloat16", "not offered")],
)
def test_what_no_runtime_has_is_refused(runtime: str, precision: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        choose_runtime(bundle(network(2), tmp_path), CPU, runtime, precision)


def test_parity_sees_noise_bias_and_what_is_not_a_number() -> None:
    reference = torch.zeros(1, 1, 100, 100)
    assert "bias" in Parity.between(reference + 0.4, reference).drift(BFLOAT16)
    assert "mean" in Parity.between(reference + 2.0 * torch.randn(100, 100), reference).drift(BFLOAT16)
    assert Parity.between(reference * float("nan"), reference).drift(FLOAT32)
    assert Parity.between(reference + 0.01, reference).drift(FLOAT32) == ""
    assert LIMITS[FLOAT32].max_hu == 0.05


def test_phantom_has_every_tissue_padding_and_metal() -> None:
    hu = phantom(network(2))[0, 1].numpy()
    assert hu.min() < -2000
    assert hu.max() > 10_000
    for tissue in (-1000, -800, -90, 50, 250, 900):
        assert (np.abs(hu - tissue) < 35).mean() > 0.002


@pytest.mark.gpu
def test_bfloat16_on_a_gpu_agrees_with_float32_torch() -> None:
    net = network(2).to("cuda")
    for scale in net.scales:
        assert compare(BFloat16Runtime(net), TorchRuntime(net), scale).drift(BFLOAT16) == ""
