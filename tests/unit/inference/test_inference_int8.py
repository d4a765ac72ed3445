"""The 8-bit model: as near to float32 as promised on real slices, of the bundle's own weights, and never by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from med_stylesr.errors import UsageError
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_3D, find_bundle
from med_stylesr.inference.choice import choose_runtime
from med_stylesr.inference.parity import phantom
from med_stylesr.inference.quantised import FILE
from med_stylesr.inference.runtime import INT8, TorchRuntime
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.fidelity import CONVENTIONS, psnr_db

CPU = torch.device("cpu")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "lidc_idri_0001"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED_STYLESR_CACHE", str(tmp_path_factory.getbasetemp() / "int8-cache"))


def hu(name: str) -> np.ndarray:
    with find_inputs(SAMPLE / name) as inputs:
        return np.asarray(read_volume(inputs.series[0]).hu, dtype=np.float32)


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    rule = CONVENTIONS["redcnn"]
    return psnr_db(float(np.mean((rule.apply(x) - rule.apply(y)) ** 2)), rule.data_range)


def test_it_differs_from_float32_by_less_than_promised_on_real_slices() -> None:
    """Mean 1.5 HU, bias 0.5 HU, 0.05 dB of PSNR: beyond that it would not be offered."""
    bundle = load_bundle(BUNDLE_2D, CPU)
    runtime, reference = choose_runtime(bundle, CPU, "auto", INT8), TorchRuntime(bundle.network)
    assert (runtime.name, runtime.precision) == ("openvino", INT8)
    low, normal = hu("quarter_dose"), hu("normal_dose")
    code = reference.style_code("noise-free")
    for k in (1, len(low) // 2):
        image = torch.from_numpy(low[k - 1 : k + 2])[None]
        results = []
        for one in (runtime, reference):
            base, correction = one.run(image, code, [1, 1])
            results.append((base + 0.75 * correction)[0, 0].numpy())
        difference = (results[0] - results[1]) / 0.75
        assert 0 < np.abs(difference).mean() <= 1.5
        assert abs(difference.mean()) <= 0.5
        assert psnr(results[0], normal[k]) > psnr(results[1], normal[k]) - 0.05


def test_padding_and_metal_pass_through_untouched() -> None:
    bundle = load_bundle(BUNDLE_2D, CPU)
    image = phantom(bundle.network)
    runtime = choose_runtime(bundle, CPU, "auto", INT8)
    base, correction = runtime.run(image, runtime.style_code("noise-free"), [1, 1])
    known = image[:, 1:2]
    outside = (known < HU_MIN) | (known > HU_MAX)
    assert outside.sum() > 100
    assert torch.equal(base, known)
    assert (correction[outside] == 0).all()
    assert correction[~outside].std() > 10


def test_it_is_never_chosen_by_itself() -> None:
    assert choose_runtime(load_bundle(BUNDLE_2D, CPU), CPU).precision != INT8


def test_other_scales_are_those_of_bfloat16_or_float32() -> None:
    bundle = load_bundle(BUNDLE_2D, CPU)
    runtime, usual = choose_runtime(bundle, CPU, "auto", INT8), choose_runtime(bundle, CPU, "openvino")
    image = torch.from_numpy(hu("quarter_dose")[:3, 200:264, 200:264])[None]
    code = usual.style_code("normal-dose")
    torch.testing.assert_close(runtime.run(image, code, [2, 2])[1], usual.run(image, code, [2, 2])[1])


def test_a_bundle_without_one_says_so_and_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"has no models/int8\.xml.*--precision auto"):
        choose_runtime(load_bundle(BUNDLE_3D, CPU), CPU, "auto", INT8)


def test_one_of_other_weights_is_refused(tmp_path: Path) -> None:
    """Retrained weights leave a stale model behind: it would give the results of the old ones."""
    folder = tmp_path / BUNDLE_2D
    shutil.copytree(find_bundle(BUNDLE_2D), folder)
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    torch.save(state, folder / "models" / "model.pt", _use_new_zipfile_serialization=False)
    assert (folder / FILE).is_file()
    with pytest.raises(UsageError, match="of other weights"):
        choose_runtime(load_bundle(folder, CPU), CPU, "auto", INT8)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_other_runtimes_do_not_offer_it(runtime: str) -> None:
    with pytest.raises(UsageError, match="OpenVINO on a CPU only"):
        choose_runtime(load_bundle(BUNDLE_2D, CPU), CPU, runtime, INT8)
