"""Both bundles, run as their users run them: train, resume, evaluate, infer, fine-tune, export, federate."""

from __future__ import annotations

import csv
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from med_stylesr.engines.phantoms import draw_phantom
from med_stylesr.io.nifti import read_nifti
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.volume import CTVolume

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMOKE = ROOT / "configs" / "smoke.json"
pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module", params=["ldct_stylesr_2d", "ldct_stylesr_3d"])
def bundle(request: pytest.FixtureRequest) -> pathlib.Path:
    return ROOT / "bundles" / str(request.param)


@pytest.fixture(scope="module")
def smoke_run(bundle: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp(bundle.name)
    run(bundle, [bundle / "configs" / "train.json", SMOKE], run_dir=str(folder))
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("scans")
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    affine[:3, 3] = (-20, -30, 5)
    for n in range(2):
        random = np.random.default_rng(n)
        clean = draw_phantom((4, 34, 38), random)
        for name, sigma in (("low_dose", 30), ("normal_dose", 10)):
            (folder / name).mkdir(exist_ok=True)
            hu = np.rint(clean + sigma * random.standard_normal(clean.shape)).astype(np.int16)
            write_volume_file(CTVolume(hu, affine), folder / name / f"scan{n}.nii.gz")
    return folder


def run(bundle: pathlib.Path, configs: list[pathlib.Path], **values: Any) -> None:
    import monai.bundle

    monai.bundle.run(
        config_file=[str(path) for path in configs],
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=str(bundle / "configs" / "logging.conf"),
        bundle_root=str(bundle),
        **values,
    )


def command(*arguments: str | pathlib.Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_smoke_run_leaves_weights_checkpoint_curves_and_every_term(smoke_run: pathlib.Path) -> None:
    for name in ("model.pt", "last.pt", "curves.png", "history.csv"):
        assert (smoke_run / name).stat().st_size > 0
    with (smoke_run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    terms = {"charbonnier", "edge", "g_image", "g_edges", "g_texture", "d_image", "val_psnr", "style_diversity_hu"}
    assert terms <= set(rows[-1])
    state = torch.load(smoke_run / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def test_resume_goes_on_where_the_run_stopped(bundle: pathlib.Path, smoke_run: pathlib.Path) -> None:
    run(
        bundle,
        [bundle / "configs" / "train.json", SMOKE],
        run_dir=str(smoke_run),
        resume=True,
        **{"train#trainer#max_epochs": 3},
    )
    with (smoke_run / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_fine_tuning_starts_from_given_weights(
    bundle: pathlib.Path, smoke_run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run(
        bundle,
        [bundle / "configs" / "train.json", bundle / "configs" / "finetune.json", SMOKE],
        run_dir=str(tmp_path),
        pretrained=str(smoke_run / "model.pt"),
        learning_rate=0.0,
        **{"train#trainer#max_epochs": 1, "gan": {}, "smoke_phantoms": 4, "ema#momentum": 1e-9},
    )
    start, tuned = (torch.load(folder / "model.pt", weights_only=True) for folder in (smoke_run, tmp_path))
    assert all(torch.allclose(start[key], tuned[key], atol=1e-6) for key in start)


def test_evaluation_measures_pairs_with_the_shipped_weights(
    bundle: pathlib.Path, scans: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    configs = [bundle / "configs" / "train.json", bundle / "configs" / "evaluate.json"]
    values: dict[str, Any] = {"dataset_dir": str(scans), "validate_every": 2, "run_dir": str(tmp_path)}
    if bundle.name.endswith("2d"):
        run(bundle, [*configs, ROOT / "configs" / "paired.json"], **values)
    else:
        run(bundle, [configs[0], SMOKE, configs[1]], **values, features=[24, 48], num_blocks=[2, 2])
    with (tmp_path / "metrics.csv").open() as file:
        assert {row[0] for row in csv.reader(file)} >= {"psnr", "rmse_hu", "hu_shift"}


@pytest.mark.parametrize("overlay", ["paired", "neighbours"])
def test_training_on_volumes_validates_whole_scans(overlay: str, scans: pathlib.Path, tmp_path: pathlib.Path) -> None:
    bundle = ROOT / "bundles" / "ldct_stylesr_2d"
    data = scans if overlay == "paired" else scans / "normal_dose"
    run(
        bundle,
        [bundle / "configs" / "train.json", ROOT / "configs" / f"{overlay}.json"],
        dataset_dir=str(data),
        run_dir=str(tmp_path),
        features=[8],
        num_blocks=[1],
        gan={},
        validate_every=2,
        repeat_scans=1,
        patches_per_scan=2,
        **{"patch_size": [16, 16], "train#trainer#max_epochs": 1},
    )
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {"loss", "val_psnr", "style_diversity_hu"} <= set(row)


def test_inference_keeps_the_field_of_view(bundle: pathlib.Path, scans: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(
        bundle,
        [bundle / "configs" / "inference.json"],
        dataset_dir=str(scans / "low_dose"),
        output_dir=str(tmp_path),
    )
    source, pred = (read_nifti(folder / "scan0.nii.gz") for folder in (scans / "low_dose", tmp_path))
    scale = [large // small for large, small in zip(pred.hu.shape, source.hu.shape, strict=True)]
    assert scale == ([1, 1, 1] if bundle.name.endswith("2d") else [2, 1, 1])
    np.testing.assert_allclose(pred.affine, source.grid.super_resolved(scale).affine, atol=1e-3)


def test_unpaired_training_runs_with_both_domains_judged(bundle: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run(
        bundle,
        [bundle / "configs" / "train.json", bundle / "configs" / "unpaired.json", SMOKE],
        run_dir=str(tmp_path),
        **{"train#trainer#max_epochs": 1, "smoke_phantoms": 4},
    )
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {"cycle", "identity", "g_normal_dose", "g_low_dose", "d_normal_dose", "d_low_dose"} <= set(row)


def test_federated_round_sends_weights_that_load_into_the_generator(
    bundle: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    from monai.fl.client.monai_algo import MonaiAlgo
    from monai.fl.utils.constants import ExtraItems
    from monai.fl.utils.exchange_object import ExchangeObject

    values = {"run_dir": str(tmp_path), "smoke_phantoms": 4, "gan": {}}
    algo = MonaiAlgo(
        bundle_root=str(bundle),
        config_train_filename=["configs/train.json", str(SMOKE)],
        train_kwargs=values,
        config_evaluate_filename=["configs/train.json", str(SMOKE), "configs/evaluate.json"],
        eval_kwargs=values,
    )
    algo.initialize(extra={ExtraItems.CLIENT_NAME: "site", ExtraItems.APP_ROOT: str(tmp_path)})
    start = {key: value.numpy().copy() for key, value in algo.trainer.network.state_dict().items()}
    algo.train(data=ExchangeObject(weights=start), extra={})
    update = algo.get_weights(extra={})
    assert set(update.weights) == set(start)
    assert any(np.abs(value).max() > 0 for value in update.weights.values())
    figures = algo.evaluate(data=ExchangeObject(weights=start), extra={})
    assert "psnr" in figures.metrics
    algo.finalize()


def test_configs_of_the_two_bundles_differ_in_listed_keys_only() -> None:
    from monai.bundle import ConfigParser

    listed = {
        "spatial_dims", "in_channels", "features", "num_blocks", "scale", "extra_scales", "patch_size", "stride",
        "spacing", "clean_sigma", "patches_per_scan", "volume_inferer", "inferer",
    }  # fmt: skip
    names = sorted(path.name for path in (ROOT / "bundles/ldct_stylesr_2d/configs").glob("*.json"))
    assert names == sorted(path.name for path in (ROOT / "bundles/ldct_stylesr_3d/configs").glob("*.json"))
    for name in set(names) - {"metadata.json"}:
        two, three = (
            ConfigParser.load_config_file(str(ROOT / f"bundles/ldct_stylesr_{d}/configs/{name}")) for d in ("2d", "3d")
        )
        assert list(two) == list(three), name
        assert {key for key in two if two[key] != three[key]} <= listed, name


def test_training_and_inference_describe_the_same_network(bundle: pathlib.Path) -> None:
    from monai.bundle import ConfigParser

    train, inference = (
        ConfigParser.load_config_file(str(bundle / "configs" / f"{name}.json")) for name in ("train", "inference")
    )
    for key in (
        "network_def",
        "spatial_dims",
        "in_channels",
        "features",
        "num_blocks",
        "scale",
        "extra_scales",
        "styles",
    ):
        assert train[key] == inference[key], key


def test_bundles_keep_the_rules_of_specification_and_zoo(bundle: pathlib.Path) -> None:
    from med_stylesr.deploy.verify import bundle_problems, network_problems

    assert bundle_problems(bundle) == []
    assert network_problems(bundle) == []


def test_every_component_of_every_config_exists(bundle: pathlib.Path) -> None:
    """A misspelt `_target_` in a rarely used overlay would otherwise be found by a user."""
    import json
    from pydoc import locate

    files = [*(bundle / "configs").glob("*.json"), *(ROOT / "configs").rglob("*.json")]
    targets = {t for path in files for t in re.findall(r'"_target_": "([\w.]+)"', path.read_text())}
    assert [t for t in sorted(targets) if locate(t) is None] == []
    for path in files:
        json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_command_lines_of_monai_accept_the_bundle(bundle: pathlib.Path, tmp_path: pathlib.Path) -> None:
    meta, inference = bundle / "configs" / "metadata.json", bundle / "configs" / "inference.json"
    monai = ("-W", "ignore", "-m", "monai.bundle")
    common = ("--meta_file", meta, "--config_file", inference, "--bundle_root", bundle, "--net_id", "network_def")
    weights = bundle / "models" / "model.pt"
    schema = ROOT / "tests" / "bundle" / "metadata_schema.json"
    assert "no error" in command(*monai, "verify_metadata", "--meta_file", meta, "--filepath", schema)
    assert "no error" in command(*monai, "verify_net_in_out", *common)
    command(*monai, "ckpt_export", *common, "--filepath", tmp_path / "model.ts", "--ckpt_file", weights)
    scripted = torch.jit.load(str(tmp_path / "model.ts"))
    size = [1, 3, 64, 64] if bundle.name.endswith("2d") else [1, 1, 6, 32, 32]
    command(
        *monai, "onnx_export", *common, "--filepath", tmp_path / "model.onnx", "--ckpt_file", weights,
        "--input_shape", str(size), "--converter_kwargs", "{'input_names': ['image'], 'output_names': ['pred']}",
    )  # fmt: skip
    assert (tmp_path / "model.onnx").stat().st_size > 1000
    from med_stylesr.inference.bundle import load_bundle

    network = load_bundle(bundle, torch.device("cpu")).network
    shape = [1, 3, 32, 48] if network.spatial_dims == 2 else [1, 1, 6, 32, 48]
    image = 50 * torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(scripted(image), network(image), atol=1e-2, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["", "unpaired.json"])
def test_two_processes_train_the_bundle_through_torchrun(
    overlay: str, bundle: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = bundle / "configs"
    configs = [folder / "train.json", *([folder / overlay] if overlay else []), folder / "multi_gpu_train.json", SMOKE]
    command(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
        "-m", "monai.bundle", "run", "--bundle_root", bundle, "--config_file", str([str(c) for c in configs]),
        "--run_dir", tmp_path, "--batch_size", "2", "--train#trainer#max_epochs", "1",
    )  # fmt: skip
    assert (tmp_path / "model.pt").stat().st_size > 0


def test_every_network_that_is_trained_is_wrapped_for_several_processes(bundle: pathlib.Path) -> None:
    """One that is not would drift apart between the processes without a word."""
    from monai.bundle import ConfigParser

    for overlays in ([], ["unpaired.json"]):
        files = [str(bundle / "configs" / name) for name in ("train.json", *overlays, "multi_gpu_train.json")]
        config = ConfigParser.load_config_files(files)
        trained = {key for key in config if re.fullmatch(r"network|discriminator_[a-z]+", key)}
        assert len(trained) == 4 + len(overlays)
        assert all(config[key].startswith("$@wrap(") for key in trained)
