"""The ablation runner: figures that mean what they say, and one command from configs to a table."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("run_ablations", ROOT / "tools" / "run_ablations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_tell_noise_from_blur(tool: Any) -> None:
    image, clean = tool.held_out(0, 2, 1, 128)
    perfect = tool.figures(clean[0], clean[0])
    assert perfect == {"edge_rmse_hu": 0, "flat_rmse_hu": 0, "flat_noise_hu": 0, "slope_kept": pytest.approx(1)}
    noisy = tool.figures(image[0], clean[0])
    assert noisy["slope_kept"] == pytest.approx(1, abs=0.02), "noise must not count as sharpness"
    assert noisy["flat_rmse_hu"] == pytest.approx(24, rel=0.15)
    blurred = tool.figures(gaussian_filter(clean[0], 1.0), clean[0])
    assert blurred["slope_kept"] < 0.8
    assert blurred["flat_noise_hu"] < 0.2 * noisy["flat_noise_hu"]


def test_held_out_phantoms_differ_and_repeat(tool: Any) -> None:
    first, again, other = (tool.held_out(n, 2, 3, 32)[0] for n in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
@pytest.mark.bundle
@pytest.mark.parametrize("bundle", ["ldct_stylesr_2d", "ldct_stylesr_3d"])
def test_one_command_trains_judges_and_tabulates(tool: Any, bundle: str, tmp_path: pathlib.Path) -> None:
    words = [str(tmp_path), "--bundle", bundle, "--epochs", "1", "--phantoms", "2", "--size", "64"]
    words += ["--set", "smoke_phantoms=4", "--only", "adain", "--only", "no_edge"]
    tool.main(words)
    rows = (tmp_path / "table.md").read_text().splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == ["full", "adain", "no_edge"]
    before = (tmp_path / "full" / "seed0" / "model.pt").stat().st_mtime_ns
    tool.main(words)
    assert (tmp_path / "full" / "seed0" / "model.pt").stat().st_mtime_ns == before, "finished runs are kept"
