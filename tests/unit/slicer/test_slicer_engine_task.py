"""A volume through a (fake) engine: it arrives, or the user is told why not; nothing is left behind either way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from MedStyleSRLib.box import Box, finer_affine
from MedStyleSRLib.command import EnhanceRequest
from MedStyleSRLib.engine_run import CANCELLED, DONE, FAILED
from MedStyleSRLib.engine_task import EngineTask, as_transferred
from MedStyleSRLib.problems import Cancelled, DeviceMissing, EngineProblem, OutOfMemory, ProgramProblem
from MedStyleSRLib.program import Program
from slicer_fake_engine import REMOVED, alive

VOXELS = np.random.default_rng(0).integers(-100, 200, (4, 24, 24)).astype(np.int16)
AFFINE = np.diag([0.7, 0.7, 2.0, 1.0])


def task(program: Path, voxels: np.ndarray = VOXELS, **request: object) -> EngineTask:
    def find() -> Program:
        return Program((str(program),), dict(os.environ), "test")

    whole = Box.whole(voxels.shape)
    made = EngineTask(find, EnhanceRequest(**request), voxels, AFFINE, whole, whole)  # type: ignore[arg-type]
    made.start()
    return made


def ended(running: EngineTask, scratch: Path) -> EngineTask:
    assert running.wait(60)
    assert list(scratch.iterdir()) == []
    return running


def test_the_result_arrives_with_its_grid_facts_and_both_ends_of_the_blend(fake_engine: Path, tmp_path: Path) -> None:
    done = ended(task(fake_engine, strength=0.5), tmp_path / "scratch")
    assert done.state == DONE, done.problem
    np.testing.assert_array_equal(done.result.blend.base, VOXELS)
    np.testing.assert_array_equal(done.result.blend.full, VOXELS + int(REMOVED))
    np.testing.assert_array_equal(done.result.shown, VOXELS + int(REMOVED / 2))
    np.testing.assert_array_equal(done.result.affine, AFFINE)
    assert done.result.strength == 0.5
    assert (done.done, done.total) == (4, 4)
    assert any("med-stylesr 0.1.0" in line for line in done.log())


def test_a_solved_strength_is_kept_and_blends_beyond_it(fake_engine: Path, tmp_path: Path) -> None:
    done = ended(task(fake_engine, dose=0.25), tmp_path / "scratch")
    assert done.result.strength == done.result.blend.at == 0.5
    assert done.result.shown.dtype == np.int16
    np.testing.assert_array_equal(done.result.blend.slab(1.0, 0, 4), VOXELS + int(REMOVED))


def test_a_finer_result_gets_the_finer_input_and_grid(fake_engine: Path, tmp_path: Path) -> None:
    done = ended(task(fake_engine, scale=(1, 2, 2)), tmp_path / "scratch")
    assert done.result.factors == (1, 2, 2)
    assert done.result.blend.base.shape == done.result.blend.full.shape == (4, 48, 48)
    np.testing.assert_allclose(done.result.affine, finer_affine(AFFINE, (1, 2, 2)))


def test_of_a_piece_only_what_was_wanted_comes_back(fake_engine: Path, tmp_path: Path) -> None:
    outer, wanted = Box((0, 0, 0), (3, 24, 24)), Box((1, 4, 5), (2, 20, 15))

    def find() -> Program:
        return Program((str(fake_engine),), dict(os.environ), "test")

    running = EngineTask(find, EnhanceRequest(), VOXELS[outer.slices], AFFINE, outer, wanted)
    running.start()
    done = ended(running, tmp_path / "scratch")
    np.testing.assert_array_equal(done.result.blend.base, VOXELS[wanted.slices])
    np.testing.assert_allclose(done.result.affine @ [0, 0, 0, 1], AFFINE @ [5, 4, 1, 1])


@pytest.mark.parametrize(
    ("mode", "kind", "told"),
    [
        ("crash", EngineProblem, "crashed"),
        ("killed", OutOfMemory, "not enough memory"),
        ("memory", OutOfMemory, "not enough memory"),
        ("gpu", DeviceMissing, "0 CUDA devices.*choose the device auto or cpu"),
        ("silent", EngineProblem, "ended without a result"),
        ("old", ProgramProblem, "needs 0.1.0 or newer"),
    ],
)
def test_a_failing_engine_is_told_in_words(
    fake_engine: Path, tmp_path: Path, behave: Callable[[str], None], mode: str, kind: type, told: str
) -> None:
    behave(mode)
    failed = ended(task(fake_engine), tmp_path / "scratch")
    assert failed.state == FAILED
    assert failed.result is None
    with pytest.raises(kind, match=told):
        raise failed.problem


def test_cancel_ends_a_stubborn_engine_and_its_child_in_no_time(
    fake_engine: Path, tmp_path: Path, behave: Callable[[str], None]
) -> None:
    behave("hang")
    running = task(fake_engine)
    until = time.monotonic() + 60
    while running.total == 0 and time.monotonic() < until:
        time.sleep(0.02)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(alive(pid) for pid in pids)
    running.cancel()
    begun = time.monotonic()
    ended(running, tmp_path / "scratch")
    # The grace it is given is 0.2 s; the rest is for a machine that is busy with other things.
    assert time.monotonic() - begun < 3
    assert running.state == CANCELLED
    assert isinstance(running.problem, Cancelled)
    assert not any(alive(pid) for pid in pids)


def test_cancel_before_the_engine_has_started_never_starts_it(
    fake_engine: Path, tmp_path: Path, behave: Callable[[str], None]
) -> None:
    behave("hang")
    running = task(fake_engine)
    running.cancel()
    assert ended(running, tmp_path / "scratch").state == CANCELLED
    assert not (tmp_path / "pids").exists()


def test_voxels_are_handed_over_in_the_smallest_type_that_loses_nothing() -> None:
    for dtype in (np.int16, np.int32, np.uint8, np.float64):
        assert as_transferred(np.array([[[1, 200]]], dtype), exact=False).dtype == np.int16
    for voxels in (np.array([[[0.5]]]), np.array([[[70000]]])):
        assert as_transferred(voxels, exact=False).dtype == np.float32
    assert as_transferred(VOXELS, exact=True).dtype == np.float32
    with pytest.raises(EngineProblem, match="not finite"):
        as_transferred(np.array([[[np.nan]]]), exact=False)
