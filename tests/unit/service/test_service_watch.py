"""A watched folder: scans are done once when they have arrived, never twice, never half; it stops cleanly."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phantoms import BODY, GRADIENT, stack, write_series
from service_runs import SETTINGS, tree_hash

from med_stylesr.errors import UsageError
from med_stylesr.service.watch import watch

QUIET = 0.5


def watched(source: Path, dest: Path, *steps: Callable[[], None]) -> tuple[int, list[dict[str, Any]]]:
    """Let steps happen between looks at the folder, each time after what is there has come to rest, then Ctrl-C."""
    events: list[dict[str, Any]] = []
    waiting, looks = list(steps), [0]

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        looks[0] += 1
        if looks[0] * seconds > 3 * QUIET:
            looks[0] = 0
            if not waiting:
                raise KeyboardInterrupt
            waiting.pop(0)()

    status = watch(
        source, dest, replace(SETTINGS), jobs=1, cluster=None, quiet_seconds=QUIET,
        events=lambda event: events.append(dict(event)), sleep=sleep,
    )  # fmt: skip
    return status, events


@pytest.fixture(autouse=True)
def _loaded(enhancer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med_stylesr.service.workers.load_enhancer", lambda settings: enhancer)


def test_what_arrives_is_done_once_and_the_watch_ends_well(tmp_path: Path) -> None:
    source, dest = tmp_path / "in", tmp_path / "out"
    source.mkdir()

    def first() -> None:
        write_series(source / "a", stack(2, shape=(32, 32)), BODY)
        (source / "notes.txt").write_text("no scan")

    def second() -> None:
        write_series(source / "b", stack(2, shape=(32, 32)), GRADIENT)

    status, events = watched(source, dest, first, second, lambda: None)
    assert status == 0
    assert len([e for e in events if e["event"] == "done"]) == 2
    assert len([e for e in events if e["event"] == "skip" and "notes" in e["source"]]) == 1
    assert len(list(dest.rglob("*.dcm"))) == 4


def test_a_scan_that_is_still_arriving_is_left_alone(tmp_path: Path) -> None:
    source, dest = tmp_path / "in", tmp_path / "out"
    write_series(source / "here", stack(2, shape=(32, 32)), BODY)
    paths = write_series(source / "coming", stack(4, shape=(32, 32)), GRADIENT)
    late = [path.read_bytes() for path in paths[2:]]
    for path in paths[2:]:
        path.unlink()
    seen: list[int] = []

    def touch_and_look() -> None:
        seen.append(len(list(dest.rglob("*.dcm"))))

    def arrive() -> None:
        for path, data in zip(paths[2:], late, strict=True):
            path.write_bytes(data)

    def keep_coming(seconds: float) -> None:
        for path in paths[:2]:
            path.touch()
        time.sleep(seconds)
        if dest.exists() and len(list(dest.rglob("*.dcm"))) == 2:
            raise KeyboardInterrupt

    watch(source, dest, SETTINGS, jobs=1, cluster=None, quiet_seconds=QUIET, events=lambda e: None, sleep=keep_coming)
    arrive()
    watched(source, dest, touch_and_look)
    counts = sorted(len(list(folder.glob("*.dcm"))) for folder in (dest / "PH-1").iterdir())
    assert counts == [2, 4], "the one that came slowly was done whole, and only whole"


def test_an_interruption_at_work_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from med_stylesr.service import jobs

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    write_series(tmp_path / "in" / "a", stack(2, shape=(32, 32)), BODY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(jobs.DerivedSeriesWriter, "write", interrupted)
        watched(tmp_path / "in", tmp_path / "out", lambda: None)
    assert set(tree_hash(tmp_path / "out")) == {"manifest.json"}
    status, _ = watched(tmp_path / "in", tmp_path / "out", lambda: None)
    assert status == 0
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 2


def test_only_a_folder_can_be_watched(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "in", stack(1, shape=(32, 32)), BODY)
    with pytest.raises(UsageError, match="only a folder"):
        watched(path, tmp_path / "out")
