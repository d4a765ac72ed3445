"""An exported model is the network, for scans of any size, and says what it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from med_stylesr.deploy import export as export_module
from med_stylesr.deploy.export import ExportOptions, export_bundle
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.bundle import LoadedBundle
from med_stylesr.inference.model_cache import CachedModels
from med_stylesr.inference.parity import Parity
from med_stylesr.inference.quiet_openvino import openvino
from med_stylesr.networks.generator import StyleSRGenerator


@pytest.fixture(params=[2, 3])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedBundle:
    return small(request.param, tmp_path)


def small(dims: int, tmp_path: Path) -> LoadedBundle:
    torch.manual_seed(5)
    scales = ([1, 1], [[2, 2]]) if dims == 2 else ([2, 1, 1], [])
    net = StyleSRGenerator(dims, 3 if dims == 2 else 1, [8, 8], [1, 1], scales[0], 4, scales[1]).eval()
    for tail in net.tails:
        torch.nn.init.normal_(tail.weight, std=0.05)
    return LoadedBundle(tmp_path, "small", "0.0.1", net, "0" * 64, CachedModels(b"small", root=tmp_path), False)


def options(bundle: LoadedBundle, runtime: str, size: tuple[int, int] | None = None) -> ExportOptions:
    return ExportOptions(runtime, tuple(bundle.network.scales[-1]), "smooth", size)


def scan(bundle: LoadedBundle) -> torch.Tensor:
    """Of a size that the model was not exported with."""
    shape = (1, 3, 72, 90) if bundle.network.spatial_dims == 2 else (1, 1, 5, 40, 52)
    return torch.from_numpy(np.random.default_rng(1).normal(0, 300, shape).round().astype(np.float32))


def wanted(bundle: LoadedBundle, image: torch.Tensor, how: ExportOptions) -> list[np.ndarray]:
    code = bundle.network.style_code(how.style).detach()
    with torch.no_grad():
        return [part.numpy() for part in bundle.network.base_and_correction(image, code, list(how.scale))]


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "torchscript"])
def test_exported_model_is_the_network_at_any_size(bundle: LoadedBundle, runtime: str, tmp_path: Path) -> None:
    how, image = options(bundle, runtime), scan(bundle)
    record = export_bundle(bundle, how, tmp_path / "out")
    model = tmp_path / "out" / next(iter(record["files"]))
    if runtime == "onnx":
        result = onnxruntime.InferenceSession(str(model)).run(["base", "correction"], {"image": image.numpy()})
    elif runtime == "openvino":
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        result = list(openvino.Core().compile_model(str(model), "CPU", settings)([image.numpy()]).values())
    else:
        with torch.no_grad():
            result = [part.numpy() for part in torch.jit.load(str(model))(image)]
    for part, reference in zip(result, wanted(bundle, image, how), strict=True):
        np.testing.assert_allclose(part, reference, atol=0.05)


def test_record_names_files_hashes_opset_and_parity(tmp_path: Path) -> None:
    bundle = small(2, tmp_path)
    record = export_bundle(bundle, options(bundle, "openvino"), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "small-2x2-smooth.openvino.json").read_text())
    assert kept["bundle"]["weights_sha256"] == bundle.weights_sha256
    assert kept["onnx_opset"] == 17
    assert set(kept["files"]) == {"small-2x2-smooth.xml", "small-2x2-smooth.bin"}
    for name, digest in kept["files"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert Parity(**record["parity_with_float32_torch"]).drift("float32") == ""


def test_a_fixed_size_leaves_no_open_axis(tmp_path: Path) -> None:
    bundle = small(2, tmp_path)
    export_bundle(bundle, options(bundle, "onnx", (64, 200)), tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "small-2x2-smooth.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 200]
    assert {entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")} == {17}


def test_a_model_that_drifts_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = small(2, tmp_path)
    honest = export_module._onnx
    monkeypatch.setattr(export_module, "_onnx", lambda whole, *rest: honest(_Moved(whole), *rest))
    with pytest.raises(InputError, match="drifts"):
        export_bundle(bundle, options(bundle, "onnx"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


class _Moved(torch.nn.Module):
    def __init__(self, whole: torch.nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        base, correction = self.whole(image)
        return base + 0.2, correction


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (ExportOptions("tensorrt", (1, 1), "smooth", None), "onnx"),
        (ExportOptions("onnx", (3, 3), "smooth", None), "2 2"),
        (ExportOptions("onnx", (1, 1), "vivid", None), "normal-dose"),
        (ExportOptions("onnx", (1, 1), "smooth", (2, 2)), "below"),
    ],
)
def test_what_the_bundle_has_not_is_refused_with_what_it_has(how: ExportOptions, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        export_bundle(small(2, tmp_path), how, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bundle = small(2, tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        export_bundle(bundle, options(bundle, "onnx"), tmp_path / "file" / "out")
