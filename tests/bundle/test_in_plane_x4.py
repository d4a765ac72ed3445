"""In plane ×4 by configuration alone, as the tutorial tells it: trained, put into a bundle, exported, and used."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.engines.phantoms import draw_phantom
from med_stylesr.errors import UsageError
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "bundles" / "ldct_stylesr_2d"
HEADS = [[2, 2], [4, 4]]
SIZE = {"features": [8, 12], "num_blocks": [1, 1]}
ONE_THREAD = ["--runtime", "torch", "--precision", "float32", "--no-isolate", "--no-report"]
pytestmark = [pytest.mark.bundle, pytest.mark.slow]


def call(*words: str | pathlib.Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A bundle of a tiny network that was grown to ×4 on phantoms."""
    folder = tmp_path_factory.mktemp("x4")
    call(
        "train", "ldct_stylesr_2d", "--overlay", "progressive", "--overlay", "smoke", "--run-dir", folder / "run",
        "growth_scales=[[2,2],[4,4]]", "growth_epochs=[1,1]", "patch_size=[16,16]", "smoke_phantoms=4",
        "adversary_start=1",
    )  # fmt: skip
    mine = folder / "mybundle"
    shutil.copytree(SHIPPED, mine)
    shutil.copy(folder / "run" / "model.pt", mine / "models" / "model.pt")
    config = mine / "configs" / "inference.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps({**values, **SIZE, "extra_scales": HEADS}))
    return mine


def test_training_moves_the_head_of_x4_which_begins_as_that_of_x2(bundle: pathlib.Path) -> None:
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    tails = {tuple(value.shape) for name, value in state.items() if name.startswith("tails") and value.dim() == 4}
    # Half-resolution features, so 4 outputs a pixel at ×1.
    assert tails == {(4 * n, 8, 3, 3) for n in (1, 4, 16)}
    assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())
    assert state["tails.2.weight"].abs().max() > 0


def test_enhance_makes_four_times_the_rows_and_columns_of_the_same_field_of_view(
    bundle: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    random = np.random.default_rng(0)
    clean = draw_phantom((3, 34, 38), random)
    hu = np.rint(clean + 20 * random.standard_normal(clean.shape)).astype(np.int16)
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    affine[:3, 3] = (-20, -30, 5)
    scan = tmp_path / "scan.nii.gz"
    write_volume_file(CTVolume(hu, affine), scan)
    call(
        "enhance", scan, tmp_path / "out", "--scale", "1", "4", "4", "--strength", "1", "--bundle", bundle, *ONE_THREAD
    )
    source, fine = read_volume_file(scan), read_volume_file(tmp_path / "out" / "scan.nii.gz")
    assert fine.hu.shape == (3, 4 * 34, 4 * 38)
    np.testing.assert_allclose(fine.affine, source.grid.super_resolved((1, 4, 4)).affine, atol=1e-4)
    # Averaged back to the grid of the input, HU are those of the input but for the noise that was taken away.
    back = fine.hu.reshape(3, 34, 4, 38, 4).mean(axis=(2, 4))
    assert abs((back - hu).mean()) < 1.0
    assert (back - hu).std() < 20


def test_export_keeps_the_head_and_agrees_with_torch(bundle: pathlib.Path, tmp_path: pathlib.Path) -> None:
    call("export", bundle, "--runtime", "torchscript", "--scale", "4 4", "--out", tmp_path)
    (model,) = tmp_path.glob("*4x4*.ts")
    base, correction = torch.jit.load(str(model))(torch.zeros(1, 3, 24, 20))
    assert base.shape == correction.shape == (1, 1, 96, 80)


def test_the_shipped_bundle_says_which_factors_it_has(tmp_path: pathlib.Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    write_volume_file(CTVolume(np.full((1, 16, 16), 40, np.int16), np.eye(4)), scan)
    with pytest.raises(UsageError, match="in plane") as refused:
        call("enhance", scan, tmp_path / "out", "--scale", "1", "4", "4", *ONE_THREAD)
    assert re.search(r"2", str(refused.value))
