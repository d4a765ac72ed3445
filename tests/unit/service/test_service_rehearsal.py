"""A dry run says what a run would do and what it would take, and writes nothing at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phantoms import BODY, GRADIENT, stack, write_series
from service_runs import EVENT, SETTINGS, tree_hash

from med_stylesr.service import rehearsal


def rehearsed(source: Path, dest: Path, resume: bool = False, **changes: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    rehearsal.rehearse(
        source, dest, replace(SETTINGS, **changes), jobs=1, resume=resume, events=lambda e: events.append(dict(e))
    )
    for event in events:
        EVENT.validate(event)
    return events


@pytest.fixture(autouse=True)
def _loaded(enhancer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "load_enhancer", lambda settings: enhancer)


def test_a_dry_run_names_what_a_run_does_and_about_its_size_and_writes_nothing(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in" / "a", stack(3, shape=(64, 64)), BODY)
    write_series(tmp_path / "in" / "b", stack(2, shape=(32, 32)), GRADIENT)
    (tmp_path / "in" / "notes.txt").write_text("no scan")
    events = rehearsed(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run = enhance(tmp_path / "in", tmp_path / "out")
    planned = [event["source"] for event in events if event["event"] == "plan"]
    assert planned == [event["source"] for event in run.event("done")]
    assert [event["source"] for event in events if event["event"] == "skip"] == [str(tmp_path / "in" / "notes.txt")]
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.dcm"))
    assert 0.5 < events[-1]["bytes"] / size < 4
    assert events[-1]["total"] == 2


def test_a_dry_run_of_a_resumed_one_leaves_out_what_is_done_and_the_record_alone(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in" / "a", stack(2, shape=(32, 32)), BODY)
    enhance(tmp_path / "in", tmp_path / "out")
    write_series(tmp_path / "in" / "b", stack(2, shape=(32, 32)), GRADIENT)
    before = tree_hash(tmp_path / "out")
    events = rehearsed(tmp_path / "in", tmp_path / "out", resume=True)
    assert events[-1]["total"] == 1
    assert tree_hash(tmp_path / "out") == before


def test_a_dry_run_makes_no_key(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "a", stack(2, shape=(32, 32)), BODY)
    rehearsed(tmp_path / "in", tmp_path / "out", deidentify="basic", key_file=tmp_path / "key")
    assert not (tmp_path / "key").exists()
