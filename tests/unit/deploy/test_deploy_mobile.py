"""Models for embedded processors are the network, in a graph that holds nothing their compilers stumble over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from med_stylesr.deploy.export import ExportOptions, WholeNetwork, export_bundle
from med_stylesr.deploy.mobile import OPERATORS, OUTPUTS, graph_problems, mobile_onnx
from med_stylesr.errors import UsageError
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.onnx_model import export_onnx
from med_stylesr.inference.parity import Parity, phantom
from med_stylesr.inference.runtime import BFLOAT16, FLOAT32
from med_stylesr.networks.generator import StyleSRGenerator


def network(**changes: Any) -> StyleSRGenerator:
    """Small, with tails and modulation that do something."""
    torch.manual_seed(5)
    told = {"features": [8, 12], "num_blocks": [1, 2], "scale": [1, 1], "style_dim": 4, "extra_scales": [[2, 2]]}
    net = StyleSRGenerator(**{"spatial_dims": 2, "in_channels": 3, **told, **changes}).eval()
    for tail in net.tails:
        torch.nn.init.normal_(tail.weight, std=0.05)
        torch.nn.init.normal_(tail.bias, std=0.01)
    for module in net.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.5)
    return net


@pytest.mark.parametrize(("precision", "limits"), [("float32", FLOAT32), ("float16", BFLOAT16)])
@pytest.mark.parametrize("block", ["residual", "light"])
@pytest.mark.parametrize("scale", [[1, 1], [2, 2]])
def test_a_mobile_model_is_the_network(block: str, scale: list[int], precision: str, limits: str) -> None:
    net = network(block=block)
    image = phantom(net)
    model = mobile_onnx(net, scale, "soft", image, precision)
    session = onnxruntime.InferenceSession(model)
    with torch.no_grad():
        bounded = net.bounded(image)
        wanted = net.residuals(bounded, net.style_code("soft"), scale)
    result = session.run(None, {"bounded": bounded.numpy()})
    assert [one.name for one in session.get_outputs()] == list(OUTPUTS[: len(wanted)])
    assert wanted[0].std() > 5
    for one, reference in zip(result, wanted, strict=True):
        assert Parity.between(torch.from_numpy(one), reference).drift(limits) == ""


def test_a_mobile_graph_has_fixed_shapes_and_common_operators_only() -> None:
    model = mobile_onnx(network(), [2, 2], "smooth", torch.zeros(1, 3, 72, 56), "float32")
    assert graph_problems(model) == []
    loaded = onnx.load_from_string(model)
    assert {one.version for one in loaded.opset_import} == {13}
    assert "Cast" not in {node.op_type for node in loaded.graph.node}
    assert {node.op_type for node in loaded.graph.node} <= OPERATORS


def test_a_graph_that_no_converter_takes_is_told_why() -> None:
    whole = WholeNetwork(network(), [1, 1], "smooth").eval()
    free = export_onnx(whole, (phantom(whole.network),), ["image"], ["base", "correction"], {"image": {2: "rows"}})
    problems = "; ".join(graph_problems(free))
    assert "no fixed shape" in problems
    assert "Where" in problems


@pytest.mark.parametrize("changes", [{"attention": True}, {"modulation": "adain"}, {"block": "dense"}])
def test_networks_that_give_no_plain_graph_are_refused(changes: dict[str, Any]) -> None:
    net = network(**changes)
    with pytest.raises(UsageError, match="blocks of the kinds residual and light"):
        mobile_onnx(net, [1, 1], "smooth", phantom(net), "float32")


def test_export_records_size_range_operators_and_parity(tmp_path: Path) -> None:
    bundle = LoadedBundle(tmp_path, "small", "0.1", network(), "0" * 64, CachedModels(b"m", root=tmp_path), False)
    record = export_bundle(bundle, ExportOptions("mobile", (1, 1), "soft", (70, 64), "float16"), tmp_path / "out")
    stem = "small-1x1-soft-mobile-float16"
    assert set(record["files"]) == {f"{stem}.onnx"}
    assert json.loads((tmp_path / "out" / f"{stem}.mobile.json").read_text())["operators"] == record["operators"]
    # Rows are padded to what the levels divide evenly.
    assert record["input"]["shape"] == [1, 3, 72, 64]
    assert record["input"]["range"] == [-1024.0, 3071.0]
    assert record["onnx_opset"] == 13
    assert set(record["operators"]) <= OPERATORS
    assert record["parity_with_float32_torch"]["mean_hu"] < 1


def test_float16_and_three_dimensions_are_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    bundle = LoadedBundle(tmp_path, "small", "0.1", network(), "0" * 64, CachedModels(b"m", root=tmp_path), False)
    with pytest.raises(UsageError, match="2 HU at 3000 HU"):
        export_bundle(bundle, ExportOptions("onnx", (1, 1), "soft", None, "float16"), tmp_path / "out")
    deep = network(spatial_dims=3, in_channels=1, scale=[2, 1, 1], extra_scales=[])
    with pytest.raises(UsageError, match="2D networks"):
        mobile_onnx(deep, [2, 1, 1], "soft", phantom(deep), "float32")
