"""Every overlay fits both bundles: it resolves into a trainer, and in the slow tests it trains to the end."""

from __future__ import annotations

import csv
import pathlib
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.engines.phantoms import draw_phantom
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.service.train import find_overlay
from med_stylesr.volume import CTVolume

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUNDLES = ("ldct_stylesr_2d", "ldct_stylesr_3d")
PAIRED = {
    "paired": ("low_dose/{}.nii", "normal_dose/{}.nii"),
    "kernel_pairs": ("sharp/{}.nii", "soft/{}.nii"),
    "mayo": ("{}/study/1.000000-Low Dose Images-1/scan.nii", "{}/study/1.000000-Full Dose Images-2/scan.nii"),
}
"""Overlays that read pairs of scans, and where the two scans of a case lie."""
SCANS = ("noise2noise", "neighbours", "encoder", "styles", "progressive")
"""Overlays that make their own input from normal-dose scans."""
NOT_FOR_TRAIN = ("deid", "degrade", "deploy", "weights")
ON_PHANTOMS = sorted(
    str(path.relative_to(ROOT / "configs").with_suffix(""))
    for path in (ROOT / "configs").rglob("*.json")
    if path.parent.name not in NOT_FOR_TRAIN
    and path.stem not in {*PAIRED, "smoke", "encoder", "neighbours"}
    and (path.stem != "mlflow" or find_spec("mlflow"))
)
TINY = {
    "features": [8],
    "num_blocks": [1],
    "batch_size": 1,
    "patches_per_scan": 2,
    "repeat_scans": 1,
    "validate_every": 2,
    "train#trainer#max_epochs": 1,
    "device": "$torch.device('cpu')",
}
GROWTH = {"growth_epochs": [1, 1, 1], "train#trainer#max_epochs": 3}
pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two cases in every layout; one folder of normal-dose scans, large enough for super-resolution by 8."""
    folder = tmp_path_factory.mktemp("data")
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    for n in range(2):
        random = np.random.default_rng(n)
        clean = draw_phantom((32, 64, 64), random)
        low, normal = (
            CTVolume(np.rint(clean + sd * random.standard_normal(clean.shape)).astype(np.int16), affine)
            for sd in (30, 10)
        )
        for overlay, (image, label) in PAIRED.items():
            for volume, place in ((low, image), (normal, label)):
                path = folder / overlay / place.format(f"case{n}")
                path.parent.mkdir(parents=True, exist_ok=True)
                write_volume_file(CTVolume(volume.hu[:6], affine), path)
        (folder / "scans").mkdir(exist_ok=True)
        write_volume_file(normal, folder / "scans" / f"case{n}.nii")
    return folder


def small(overlay: str, bundle: str, data: pathlib.Path, run_dir: pathlib.Path) -> dict[str, Any]:
    """Values that make a run of an overlay on real files last seconds."""
    growth = GROWTH if overlay == "progressive" else {}
    patch = [16, 16] if bundle.endswith("2d") else [4, 16, 16]
    if overlay == "progressive":
        patch = [8, 8] if bundle.endswith("2d") else [4, 16, 16]
    folder = data / (overlay if overlay in PAIRED else "scans")
    values = {**TINY, "dataset_dir": str(folder), "run_dir": str(run_dir), "patch_size": patch, "val_slices": 8}
    if overlay == "encoder":
        values = {key: value for key, value in values.items() if key not in ("features", "num_blocks")}
    return {**values, "adversary_start": 1, "adversary_ramp": 0, **growth}


def trainer(bundle: str, overlays: list[str], **values: Any) -> Any:
    from monai.bundle import ConfigWorkflow

    folder = ROOT / "bundles" / bundle
    workflow = ConfigWorkflow(
        config_file=[str(folder / "configs" / "train.json"), *(str(find_overlay(name)) for name in overlays)],
        meta_file=str(folder / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(folder),
        **values,
    )
    workflow.initialize()
    return workflow.parser.get_parsed_content("train#trainer")


def train(bundle: str, overlays: list[str], run_dir: pathlib.Path, values: dict[str, Any]) -> list[dict[str, str]]:
    """Train through the command line and return the history."""
    options = [word for name in overlays for word in ("--overlay", name)]
    pairs = [f"{key}={value}" for key, value in values.items() if key != "run_dir"]
    done = CliRunner().invoke(app, ["train", bundle, *options, "--run-dir", str(run_dir), *pairs])
    assert done.exit_code == 0, (done.output, done.exception)
    with (run_dir / "history.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("overlay", [name for name in ON_PHANTOMS if name != "mlflow"])
def test_overlay_resolves_to_a_trainer(overlay: str, bundle: str, tmp_path: pathlib.Path) -> None:
    made = trainer(bundle, [overlay, "smoke"], run_dir=str(tmp_path), smoke_phantoms=4)
    assert made.state.epoch_length == 1


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("overlay", [*PAIRED, *SCANS])
def test_overlay_resolves_to_a_trainer_on_files(
    overlay: str, bundle: str, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = trainer(bundle, [overlay], **small(overlay, bundle, data, tmp_path))
    assert made.state.epoch_length == 1


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("overlay", ON_PHANTOMS)
def test_overlay_trains_on_phantoms(overlay: str, bundle: str, tmp_path: pathlib.Path) -> None:
    values: dict[str, Any] = {"smoke_phantoms": 4, "train#trainer#max_epochs": 1, "adversary_start": 1}
    if overlay == "progressive":
        values |= {"patch_size": [16, 16] if bundle.endswith("2d") else [4, 16, 16], **GROWTH}
    rows = train(bundle, [overlay, "smoke"], tmp_path, values)
    assert {"loss", "val_psnr"} <= set(rows[-1])
    assert (tmp_path / "model.pt").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("overlay", [*PAIRED, *SCANS])
def test_overlay_trains_on_files(overlay: str, bundle: str, data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = train(bundle, [overlay], tmp_path, small(overlay, bundle, data, tmp_path))
    assert {"loss", "val_psnr"} <= set(rows[-1])
    if overlay == "progressive":
        assert [float(row["voxels_per_voxel"]) for row in rows] == ([4, 16, 64] if bundle == BUNDLES[0] else [2, 4, 8])


@pytest.mark.slow
def test_early_stop_ends_a_run_that_does_not_get_better(tmp_path: pathlib.Path) -> None:
    values = {"smoke_phantoms": 4, "train#trainer#max_epochs": 6, "early_stop#patience": 2, "gan": "{}"}
    still = {"learning_rate": 0.0, "lr_scheduler#eta_min": 0.0}
    assert len(train(BUNDLES[0], ["early_stop", "smoke"], tmp_path, {**values, **still})) == 3
