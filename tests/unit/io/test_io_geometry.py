"""Every structure is found at the millimetres where it is, whatever way the slices lie."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import BODY, GRADIENT, StackSpec, rotated, stack, worst_shift_mm, write_series

from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs
from med_stylesr.volume import CTVolume

AXIAL = (1.0, 0, 0, 0, 1, 0)
TILT = rotated(18.5, "x")
TOLERANCE_MM = 0.01


def _without(spec: StackSpec, *missing: int) -> StackSpec:
    return spec.with_(origins_mm=np.delete(spec.origins_mm, missing, axis=0))


def _moved(spec: StackSpec, move: Callable[[np.ndarray], None]) -> StackSpec:
    origins = spec.origins_mm.copy()
    move(origins)
    return spec.with_(origins_mm=origins)


def _uneven(origins: np.ndarray) -> None:
    origins[:, 2] += np.array([0, 0.3, -0.4, 0.8, 0, 0.2, 0.5, -0.2])


def _sideways(origins: np.ndarray) -> None:
    origins[3:, 0] += 4.0


def _rounded(origins: np.ndarray) -> None:
    origins[:] = np.round(origins, 2)


def _big_step(origins: np.ndarray) -> None:
    origins[4:, 2] += 30


EVEN = {
    "plain axial": stack(),
    "files numbered from head to feet": stack(step_mm=-3.0),
    "feet first supine": stack(header={"PatientPosition": "FFS"}),
    "prone": stack(orientation=(-1, 0, 0, 0, -1, 0), header={"PatientPosition": "HFP"}),
    "right side down": stack(orientation=(0, 1, 0, -1, 0, 0), header={"PatientPosition": "HFDR"}),
    "mirrored columns": stack(orientation=(-1, 0, 0, 0, 1, 0)),
    "coronal": stack(orientation=(1, 0, 0, 0, 0, -1)),
    "sagittal": stack(orientation=(0, 1, 0, 0, 0, -1)),
    "oblique": stack(orientation=rotated(20, "y")),
    "double oblique": stack(orientation=rotated(31, "z", rotated(-14, "x"))),
    "gantry tilt": stack(orientation=TILT, step_mm=(0, 0, 3.0)),
    "gantry tilt to the other side, downwards": stack(orientation=rotated(-22, "x"), step_mm=(0, 0, -4.0)),
    "gantry tilt, prone": stack(orientation=rotated(12, "x", (-1, 0, 0, 0, -1, 0)), step_mm=(0, 0, 3.0)),
    "anisotropic pixels": stack(spacing_mm=(1.5, 0.75)),
    "overlapping slices": stack(step_mm=1.25, header={"SliceThickness": "5"}),
    "thin slices with gaps": stack(step_mm=8.0, header={"SliceThickness": "1"}),
    "negative spacing tag": stack(header={"SpacingBetweenSlices": "-3"}),
    "wrong spacing tag": stack(header={"SpacingBetweenSlices": "7", "SliceLocation": "0"}),
    "far from the origin": stack(centre_mm=(30.0, -45.0, 60.0), step_mm=2.0),
    "positions rounded to 0.01 mm": _moved(stack(step_mm=0.777), _rounded),
    "two slices": stack(slices=2),
    "one slice": stack(slices=1),
    "one slice, oblique": stack(slices=1, orientation=rotated(20, "y")),
}
UNEVEN = {
    "missing slice": (_without(stack(9), 4), "1 slice(s) are missing"),
    "two missing slices": (_without(stack(10), 3, 6), "2 slice(s) are missing"),
    "uneven spacing": (_moved(stack(), _uneven), "spacing varies"),
    "one large step": (_moved(stack(step_mm=3.1), _big_step), "spacing varies"),
    "gantry tilt, uneven": (
        _moved(stack(orientation=TILT, step_mm=(0, 0, 3.0)), _uneven),
        "spacing varies",
    ),
    "slices shifted sideways": (_moved(stack(), _sideways), "shifted sideways"),
}


def _read(folder: Path) -> tuple[DicomSeries, CTVolume]:
    with find_inputs(folder) as inputs:
        assert not [s for s in inputs.skipped if s.problem]
        (series,) = inputs.series
        return series, read_volume(series)


def _positions(volume: CTVolume) -> np.ndarray:
    k, j, i = np.meshgrid(*map(np.arange, volume.hu.shape), indexing="ij")
    positions = volume.grid.positions(np.stack([i, j, k], axis=-1))
    if volume.slice_origins_mm is not None:
        positions += (volume.slice_origins_mm - positions[:, 0, 0])[:, None, None]
    return positions


@pytest.mark.parametrize("name", EVEN)
def test_even_stacks_lie_where_their_affine_says(tmp_path: Path, name: str) -> None:
    write_series(tmp_path / "s", EVEN[name])
    _, volume = _read(tmp_path)
    assert volume.evenly_spaced
    assert volume.hu.dtype == np.int16
    assert worst_shift_mm(volume.hu, _positions(volume)) < TOLERANCE_MM
    assert np.linalg.det(volume.affine) > 0, "slices are sorted along row x column"


@pytest.mark.parametrize("name", UNEVEN)
def test_uneven_stacks_keep_each_slice_at_its_own_place_and_say_so(tmp_path: Path, name: str) -> None:
    spec, warning = UNEVEN[name]
    write_series(tmp_path / "s", spec)
    series, volume = _read(tmp_path)
    assert not volume.evenly_spaced
    assert worst_shift_mm(volume.hu, _positions(volume)) < TOLERANCE_MM
    assert any(warning in w for w in series.warnings), series.warnings


@pytest.mark.parametrize("name", ["gantry tilt", "gantry tilt to the other side, downwards", "gantry tilt, prone"])
def test_a_tilted_gantry_gives_a_sheared_affine(tmp_path: Path, name: str) -> None:
    write_series(tmp_path / "s", EVEN[name])
    assert _read(tmp_path)[1].grid.is_sheared


@pytest.mark.parametrize("name", [n for n in EVEN if "tilt" not in n])
def test_highdicom_puts_voxels_at_the_same_places(tmp_path: Path, name: str) -> None:
    files = write_series(tmp_path / "s", EVEN[name])
    _, volume = _read(tmp_path)
    datasets = [pydicom.dcmread(f) for f in files]
    if len(datasets) == 1:
        datasets[0].SpacingBetweenSlices = "3"
    oracle = highdicom.get_volume_from_series(datasets, rtol=0.05)
    corners = np.array([(i, j, k) for i in (0, 19) for j in (0, 23) for k in (0, volume.hu.shape[0] - 1)], float)
    there = oracle.map_reference_to_indices(volume.grid.positions(corners))
    for (i, j, k), index in zip(corners.astype(int), np.rint(there).astype(int), strict=True):
        assert oracle.array[tuple(index)] == volume.hu[k, j, i]
    assert np.abs(there - np.rint(there)).max() < 0.02


@pytest.mark.parametrize("name", ["gantry tilt", "missing slice", "uneven spacing", "slices shifted sideways"])
def test_highdicom_refuses_what_no_rectangular_grid_holds(tmp_path: Path, name: str) -> None:
    spec = EVEN[name] if name in EVEN else UNEVEN[name][0]
    files = write_series(tmp_path / "s", spec)
    with pytest.raises(ValueError):
        highdicom.get_volume_from_series([pydicom.dcmread(f) for f in files])


def test_shapes_of_a_body_phantom_are_found_at_their_millimetres(tmp_path: Path) -> None:
    write_series(tmp_path / "s", stack(24, orientation=TILT, step_mm=(0, 0, 3.0), shape=(48, 48)), BODY)
    volume = _read(tmp_path)[1]
    for shape in BODY.shapes[1:]:
        probe = getattr(shape, "centre_mm", None) or tuple(np.mean([shape.low_mm, shape.high_mm], axis=0))
        i, j, k = np.rint(volume.grid.indices(probe)).astype(int)
        assert volume.hu[k, j, i] == shape.hu


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_files_does_not_matter(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    shuffle = random.Random(seed)
    spec = shuffle.choice([*EVEN.values(), *(spec for spec, _ in UNEVEN.values())])
    folder = tmp_path_factory.mktemp("shuffled")
    paths = write_series(folder / "s", spec)
    plain = _read(folder)[1]
    names = [f"{n:04d}" for n in range(len(paths))]
    shuffle.shuffle(names)
    for path, name in zip(paths, names, strict=True):
        path.rename(path.with_name(f"x{name}.dcm"))
    again = _read(folder)[1]
    assert np.array_equal(plain.hu, again.hu)
    assert np.array_equal(plain.affine, again.affine)


@settings(max_examples=40, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-80, 80)] * 3),
    spacing=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    step=st.floats(0.3, 10),
    tilt=st.floats(-0.4, 0.4),
)
def test_any_orientation_spacing_and_tilt_is_read_right(
    tmp_path_factory: pytest.TempPathFactory, angles: Any, spacing: Any, step: float, tilt: float
) -> None:
    directions = rotated(angles[2], "z", rotated(angles[1], "y", rotated(angles[0], "x")))
    row, column = np.array(directions[:3]), np.array(directions[3:])
    along = step * (np.cross(row, column) + tilt * column)
    folder = tmp_path_factory.mktemp("any")
    write_series(folder / "s", stack(4, directions, along, shape=(9, 7), spacing_mm=spacing))
    volume = _read(folder)[1]
    assert worst_shift_mm(volume.hu, _positions(volume), GRADIENT) < TOLERANCE_MM
