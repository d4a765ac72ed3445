"""The module with the real engine: a noisy volume of the scene comes back enhanced, at any strength, in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.slicer, pytest.mark.slow]
PROGRAM = [sys.executable, "-m", "med_stylesr"]


@pytest.fixture
def logic(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    import MedStyleSR
    import qt

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    qt.QSettings().setValue("MedStyleSR/Program", sys.executable)
    qt.QSettings().setValue("MedStyleSR/Device", "cpu")
    return MedStyleSR.MedStyleSRLogic()


def another_run(voxels: np.ndarray, folder: Path, *options: str) -> np.ndarray:
    """What the program gives by itself for a volume."""
    from MedStyleSRLib.nrrd import read_nrrd, write_nrrd

    write_nrrd(folder / "volume.nrrd", voxels, np.diag([0.8, 0.8, 2.0, 1.0]))
    run = [*PROGRAM, "enhance", str(folder / "volume.nrrd"), str(folder / "out"), "--no-report", *options]
    subprocess.run(run, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    return read_nrrd(folder / "out" / "volume.nrrd")[0]


def test_the_self_test_of_the_module_passes(logic: Any) -> None:
    from MedStyleSRLib.self_test import run_self_test

    run_self_test(logic)


@pytest.mark.parametrize("scale", [(1, 1, 1), (1, 2, 2), (2, 1, 1)])
def test_a_blended_strength_is_within_one_hu_of_another_run_at_that_strength(
    logic: Any, tmp_path: Path, scale: tuple[int, int, int]
) -> None:
    from MedStyleSRLib.self_test import noisy_disk
    from MedStyleSRLib.volumes import voxels_of
    from scene_volumes import volume

    voxels = noisy_disk(4, 64)
    blended = voxels_of(logic.enhance(volume("anisotropic", voxels), strength=0.37, scale=scale))
    told = another_run(voxels, tmp_path, "--strength", "0.37", "--scale", *map(str, scale))
    assert blended.shape == told.shape
    worst = np.abs(blended.astype(int) - told).max()
    assert worst <= 1, f"{worst} HU"


def test_a_dose_given_in_the_panel_gives_what_the_program_gives(logic: Any, tmp_path: Path) -> None:
    from MedStyleSRLib.self_test import noisy_disk
    from MedStyleSRLib.volumes import voxels_of
    from scene_volumes import volume

    voxels = noisy_disk(4, 64)
    node = logic.enhance(volume("anisotropic", voxels), dose=0.6)
    told = another_run(voxels, tmp_path, "--dose", "0.6")
    assert np.abs(voxels_of(node).astype(int) - told).max() <= 1


def test_a_preview_of_one_slice_is_that_slice_of_the_whole(logic: Any) -> None:
    from MedStyleSRLib.self_test import noisy_disk
    from MedStyleSRLib.volumes import voxels_of
    from scene_volumes import volume

    source = volume("anisotropic", noisy_disk(7, 64))
    whole = voxels_of(logic.enhance(source))
    preview = voxels_of(logic.enhance(source, region="slice"))
    # Without a view it is the middle one.
    assert np.abs(preview[0].astype(int) - whole[3]).max() <= 1
