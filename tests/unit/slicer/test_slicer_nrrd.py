"""Volumes cross the border to the engine with every voxel and every millimetre."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from MedStyleSRLib.nrrd import read_nrrd, write_nrrd
from MedStyleSRLib.problems import EngineProblem

from med_stylesr.io.itk import read_itk, write_itk
from med_stylesr.volume import CTVolume

AFFINES = {
    "axial": np.diag([0.7, 0.7, 2.5, 1.0]),
    "oblique": np.array([[0.6, -0.2, 0.3, 10], [0.2, 0.6, 0.1, -5], [-0.1, 0.1, 2.0, 40], [0, 0, 0, 1.0]]),
    "left-handed": np.diag([0.7, 0.7, -2.5, 1.0]),
    "gantry tilt": np.array([[0.5, 0, 0, 1], [0, 0.5, 0.8, 2], [0, 0, 2.4, 3], [0, 0, 0, 1.0]]),
}


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_what_is_written_is_what_the_engine_reads_and_what_it_writes_is_what_is_read(
    tmp_path: Path, name: str, dtype: type
) -> None:
    voxels = np.random.default_rng(1).normal(0, 300, (3, 4, 5)).astype(dtype)
    write_nrrd(tmp_path / "a.nrrd", voxels, AFFINES[name])
    engines = read_itk(tmp_path / "a.nrrd")
    assert engines.hu.dtype == dtype
    np.testing.assert_array_equal(engines.hu, voxels)
    np.testing.assert_allclose(engines.affine, AFFINES[name], atol=1e-12)
    # The engine packs what it writes.
    write_itk(CTVolume(voxels, AFFINES[name], {}), tmp_path / "b.nrrd")
    back, affine = read_nrrd(tmp_path / "b.nrrd")
    np.testing.assert_array_equal(back, voxels)
    np.testing.assert_allclose(affine, AFFINES[name], atol=1e-12)


def test_a_volume_without_packing_has_its_voxels_as_they_are(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    write_nrrd(tmp_path / "a.nrrd", voxels, np.eye(4))
    assert (tmp_path / "a.nrrd").read_bytes().endswith(voxels.tobytes())
    np.testing.assert_array_equal(read_nrrd(tmp_path / "a.nrrd")[0], voxels)


@pytest.mark.parametrize("damage", ["cut", "cut header", "no nrrd", "another space", "broken gzip"])
def test_a_damaged_result_is_a_problem_in_words(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.nrrd"
    write_itk(CTVolume(np.zeros((4, 32, 32), np.int16), np.eye(4), {}), path)
    whole = path.read_bytes()
    header, _, packed = whole.partition(b"\n\n")
    changed = {
        "cut": whole[:-20],
        "cut header": whole[:60],
        "no nrrd": b"GIF89a" + whole,
        "another space": whole.replace(b"left-posterior-superior", b"scanner-xyz"),
        "broken gzip": header + b"\n\n" + gzip.compress(b"x" * 10) + packed,
    }
    path.write_bytes(changed[damage])
    with pytest.raises(EngineProblem, match=r"a\.nrrd: is no volume we can read"):
        read_nrrd(path)


def test_simpleitk_agrees_about_the_place_of_a_voxel(tmp_path: Path) -> None:
    affine = AFFINES["gantry tilt"]
    write_nrrd(tmp_path / "a.nrrd", np.zeros((3, 4, 5), np.int16), affine)
    image = SimpleITK.ReadImage(str(tmp_path / "a.nrrd"))
    place = image.TransformIndexToPhysicalPoint((4, 3, 2))
    np.testing.assert_allclose(place, (affine @ [4, 3, 2, 1])[:3], atol=1e-9)
