"""Structures stay at their millimetres through the main job: as it is, in plane, through plane, tilted and oblique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from phantoms import GRADIENT, Ball, Scene, StackSpec, rotated, stack, worst_shift_mm, write_series

from med_stylesr.geometry import VoxelGrid
from med_stylesr.inference.bundle_folder import BUNDLE_2D
from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.service import batch
from med_stylesr.service.manifest import DONE, FAILED, Manifest
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.volume import CTVolume

CORNER_MM = 0.01
PROBE = Scene((Ball((3.0, -4.0, 2.0), 9.0, 60.0),), background_hu=-100.0)
PLACES = {
    "axial": {},
    "reversed": {"step_mm": -3.0},
    "tilted": {"step_mm": (0.0, 3.0 * np.tan(np.radians(18.5)), 3.0)},
    "oblique": {"orientation": rotated(20, "x", rotated(35, "z"))},
    "coronal": {"orientation": (1, 0, 0, 0, 0, -1)},
}


@pytest.fixture(scope="module")
def enhancer() -> Enhancer:
    return Enhancer(BUNDLE_2D, "cpu")


@pytest.fixture(scope="module")
def scales(enhancer: Enhancer) -> list[tuple[int, int, int]]:
    """All that the bundles say they offer, and both at once."""
    flat = [(1, *map(int, s)) for s in enhancer.bundle(2).network.scales]
    deep = [tuple(map(int, s)) for s in enhancer.bundle(3).network.scales]
    return [*flat, *deep, (deep[0][0], *flat[-1][1:])]  # type: ignore[list-item]


@pytest.fixture
def run(enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("med_stylesr.service.workers.load_enhancer", lambda settings: enhancer)

    def enhanced(source: Path, dest: Path, scale: Sequence[int], strength: float, **changes: object) -> Manifest:
        options = EnhanceOptions((scale[0], scale[1], scale[2]), request=StrengthRequest(strength))
        settings = EnhanceSettings(options, None, BUNDLE_2D, "cpu", "auto", None, None, False, False, 1)
        return batch.run_batch(
            source, dest, replace(settings, **changes), jobs=1, resume=False, events=lambda event: None
        )

    return enhanced


def only(place: Path) -> CTVolume:
    with find_inputs(place) as inputs:
        assert len(inputs.series) == 1
        return read_volume(inputs.series[0])


def corners(grid: VoxelGrid) -> NDArray[np.float64]:
    """LPS mm of the eight corners of the field of view, half a voxel outside the outermost centres."""
    ends = [(-0.5, n - 0.5) for n in (grid.shape[2], grid.shape[1], grid.shape[0])]
    return np.array([grid.positions((i, j, k)) for i in ends[0] for j in ends[1] for k in ends[2]])


def positions(volume: CTVolume) -> NDArray[np.float64]:
    k, j, i = np.indices(volume.hu.shape)
    return volume.grid.positions(np.stack([i, j, k], axis=-1))


def scan(place: str, **spec: object) -> StackSpec:
    return stack(10, shape=(32, 36), spacing_mm=(2.0, 1.5), **{**PLACES[place], **spec})  # type: ignore[arg-type]


@pytest.mark.parametrize("place", PLACES)
def test_field_of_view_and_positions_are_kept_at_every_scale(
    tmp_path: Path, run, scales: list[tuple[int, int, int]], place: str
) -> None:
    write_series(tmp_path / "in", scan(place), GRADIENT)
    before = only(tmp_path / "in")
    for scale in scales if place == "axial" else [scales[1], scales[2], scales[-1]]:
        dest = tmp_path / "x".join(map(str, scale))
        manifest = run(tmp_path / "in", dest, scale, 0.0)
        (entry,) = manifest.entries
        assert entry.status == DONE, entry.reason
        after = only(dest / entry.outputs[0])
        assert after.hu.shape == tuple(n * s for n, s in zip(before.hu.shape, scale, strict=True))
        worst = np.abs(corners(after.grid) - corners(before.grid)).max()
        assert worst < CORNER_MM, (scale, worst)
        if scale[0] > 1 and scale[1:] != (1, 1):
            # Of two stages, the second sharpens at any strength; the ball below says where things are.
            continue
        # A linear scene is what interpolation reproduces exactly, away from the border of the field of view.
        margin = tuple(slice(2 * s, -2 * s) for s in scale)
        assert worst_shift_mm(after.hu[margin], positions(after)[margin]) < 0.1, scale


@pytest.mark.parametrize("place", ["axial", "tilted", "oblique"])
def test_a_ball_stays_at_its_millimetres_when_the_network_works(
    tmp_path: Path, run, scales: list[tuple[int, int, int]], place: str
) -> None:
    write_series(tmp_path / "in", scan(place, step_mm=PLACES[place].get("step_mm", 3.0)), PROBE)
    before = only(tmp_path / "in")

    def centre(volume: CTVolume) -> NDArray[np.float64]:
        weight = np.clip(volume.hu + 60.0, 0.0, None)
        return np.asarray((positions(volume) * weight[..., None]).sum(axis=(0, 1, 2)) / weight.sum())

    for scale in (scales[0], scales[-1]):
        dest = tmp_path / "x".join(map(str, scale))
        entry = run(tmp_path / "in", dest, scale, 1.0).entries[0]
        assert entry.status == DONE, entry.reason
        moved = np.linalg.norm(centre(only(dest / entry.outputs[0])) - centre(before))
        assert moved < 0.2, (scale, moved)


def test_uneven_slices_are_refused_for_that_series_only_when_slices_are_to_be_added(
    tmp_path: Path, run, scales: list[tuple[int, int, int]]
) -> None:
    deep = next(scale for scale in scales if scale[0] > 1)
    even, uneven = scan("axial"), scan("axial")
    origins = uneven.origins_mm.copy()
    origins[5:, 2] += 4.0
    write_series(tmp_path / "in" / "even", even, GRADIENT)
    write_series(tmp_path / "in" / "uneven", uneven.with_(origins_mm=origins), GRADIENT)
    manifest = run(tmp_path / "in", tmp_path / "deep", deep, 0.0)
    states = {e.status: e for e in manifest.entries}
    assert set(states) == {DONE, FAILED}
    assert "evenly spaced" in states[FAILED].reason
    assert "--scale 1" in states[FAILED].reason
    in_plane = run(tmp_path / "in", tmp_path / "flat", scales[0], 0.0)
    assert {e.status for e in in_plane.entries} == {DONE}
    places = {
        tuple(only(tmp_path / "flat" / e.outputs[0]).grid.positions((0, 0, 0)).round(3)) for e in in_plane.entries
    }
    assert len(places) >= 1


def test_target_spacing_picks_the_nearest_whole_factors(
    tmp_path: Path, run, scales: list[tuple[int, int, int]]
) -> None:
    flat = scales[1]
    write_series(tmp_path / "in", scan("axial"), GRADIENT)
    before = only(tmp_path / "in")
    wanted = tuple(mm / s * 1.1 for mm, s in zip(before.spacing_mm, flat, strict=True))
    entry = run(tmp_path / "in", tmp_path / "out", (1, 1, 1), 0.0, spacing_mm=wanted).entries[0]
    assert entry.status == DONE, entry.reason
    assert entry.facts["scale"] == list(flat)
    np.testing.assert_allclose(entry.facts["spacing_mm"], np.array(before.spacing_mm) / flat, rtol=1e-6)
