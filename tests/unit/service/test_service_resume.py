"""Going on after an interruption, replacing on request only, and a record that is never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from phantoms import BODY, GRADIENT, stack, write_series
from service_runs import tree_hash

from med_stylesr.errors import UsageError
from med_stylesr.io.publish import PARTIAL
from med_stylesr.service import jobs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in "abc":
        write_series(tmp_path / "in" / name, stack(2, shape=(32, 32)), BODY)
    return tmp_path / "in"


def interrupt_after(monkeypatch: pytest.MonkeyPatch, slices: int) -> None:
    """Ctrl-C while a slice is being written."""
    write, left = jobs.DerivedSeriesWriter.write, [slices]

    def writing(self: Any, *args: Any, **kwargs: Any) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return write(self, *args, **kwargs)

    monkeypatch.setattr(jobs.DerivedSeriesWriter, "write", writing)


def test_an_interruption_leaves_whole_outputs_and_a_resumed_run_does_the_rest(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        interrupt_after(patch, 3)
        enhance(source, dest)
    assert not [p for p in dest.rglob("*") if p.name.startswith(PARTIAL)]
    states = [e["status"] for e in json.loads((dest / "manifest.json").read_text())["series"]]
    assert states == ["done", "running", "running"]
    first = tree_hash(dest)
    run = enhance(source, dest, resume=True)
    assert run.status == 0
    assert len(run.entries("done")) == 3
    assert len(run.event("done")) == 2
    assert all(tree_hash(dest)[name] == digest for name, digest in first.items() if name != "manifest.json")
    assert sorted(p.name for p in run.outputs) == sorted(p.name for p in enhance(source, tmp_path / "whole").outputs)


def test_an_interruption_during_the_report_does_not_leave_a_series_that_nobody_recorded(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr("med_stylesr.report.enhance_report.write_enhance_report", interrupted)
        enhance(source, tmp_path / "out", report=True)
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["manifest.json"]
    assert enhance(source, tmp_path / "out", resume=True).status == 0


def test_a_resumed_run_removes_what_a_killed_one_left_half_done(tmp_path: Path, source: Path, enhance: Any) -> None:
    half = tmp_path / "out" / "PH-1" / f"{PARTIAL}123-1.2.3"
    half.mkdir(parents=True)
    (half / "0001.dcm").write_bytes(b"half")
    enhance(source, tmp_path / "out", resume=True)
    assert not half.exists()


def test_a_resumed_run_does_again_what_failed_or_was_deleted(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    with monkeypatch.context() as patch:
        read = jobs.read_slices

        def failing(series: Any, start: int, stop: int) -> Any:
            if series.uid == min(uids):
                raise OSError("cable pulled")
            return read(series, start, stop)

        uids: list[str] = ["~"]
        uids += [str(u) for u in _series_uids(source)]
        patch.setattr(jobs, "read_slices", failing)
        run = enhance(source, tmp_path / "out")
    assert run.status == 1
    assert len(run.entries("done")) == 2
    shutil.rmtree(run.outputs[0])
    again = enhance(source, tmp_path / "out", resume=True)
    assert again.status == 0
    assert len(again.event("done")) == 2


def _series_uids(source: Path) -> list[str]:
    import pydicom

    return [pydicom.dcmread(p, stop_before_pixels=True).SeriesInstanceUID for p in source.rglob("*.dcm")]


def test_without_a_flag_results_of_an_earlier_run_are_not_touched(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source, tmp_path / "out")
    before = tree_hash(tmp_path / "out")
    with pytest.raises(UsageError, match=r"--resume.*--overwrite"):
        enhance(source, tmp_path / "out")
    assert tree_hash(tmp_path / "out") == before


def test_a_place_that_is_taken_fails_that_scan_only_and_stays_as_it_is(
    tmp_path: Path, source: Path, enhance: Any
) -> None:
    whole = enhance(source, tmp_path / "whole")
    mine = tmp_path / "out" / whole.outputs[0].relative_to(tmp_path / "whole")
    mine.mkdir(parents=True)
    (mine / "precious.txt").write_text("keep")
    run = enhance(source, tmp_path / "out")
    assert run.status == 1
    assert len(run.entries("done")) == 2
    assert "exists already" in run.entries("failed")[0]["reason"]
    assert [p.name for p in mine.iterdir()] == ["precious.txt"]


def test_overwriting_replaces_results_and_a_failure_meanwhile_keeps_the_old_ones(
    tmp_path: Path, source: Path, enhance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = enhance(source, tmp_path / "out")
    before = tree_hash(tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        interrupt_after(patch, 1)
        enhance(source, tmp_path / "out", overwrite=True)
    after = tree_hash(tmp_path / "out")
    assert {k: v for k, v in after.items() if k != "manifest.json"} == {
        k: v for k, v in before.items() if k != "manifest.json"
    }
    again = enhance(source, tmp_path / "out", overwrite=True)
    assert again.status == 0
    assert again.outputs == first.outputs


def test_other_settings_make_other_series_beside_the_first(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source, tmp_path / "out")
    run = enhance(source, tmp_path / "out", resume=True, strength=1.0)
    assert run.status == 0
    assert len(run.entries("done")) == 6
    assert len(set(run.outputs)) == 6


def test_the_record_of_another_source_in_the_same_place_is_kept(tmp_path: Path, source: Path, enhance: Any) -> None:
    enhance(source / "a", tmp_path / "out")
    write_series(tmp_path / "more" / "d", stack(2, shape=(32, 32)), GRADIENT)
    run = enhance(tmp_path / "more", tmp_path / "out", resume=True)
    assert len(run.entries("done")) == 2
    assert all(place.exists() for place in run.outputs)


def test_equal_volumes_in_two_places_are_both_done_when_resumed(tmp_path: Path, enhance: Any) -> None:
    import numpy as np

    from med_stylesr.io.volume_file import write_volume_file
    from med_stylesr.volume import CTVolume

    volume = CTVolume(np.zeros((2, 32, 32), np.int16), np.eye(4))
    (tmp_path / "in").mkdir()
    write_volume_file(volume, tmp_path / "in" / "a.nii.gz")
    enhance(tmp_path / "in", tmp_path / "out")
    write_volume_file(volume, tmp_path / "in" / "b.nii.gz")
    run = enhance(tmp_path / "in", tmp_path / "out", resume=True)
    assert [p.name for p in run.outputs] == ["a.nii.gz", "b.nii.gz"]
    assert all(place.exists() for place in run.outputs)


def test_a_file_that_is_no_manifest_is_not_replaced(tmp_path: Path, source: Path, enhance: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"name": "somebody else\'s"}')
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="no manifest of this program"):
            enhance(source, tmp_path / "out", **how)
    assert "somebody" in (tmp_path / "out" / "manifest.json").read_text()


def test_what_killed_its_worker_twice_is_left_alone_until_somebody_asks(
    tmp_path: Path, source: Path, enhance: Any
) -> None:
    import shutil

    from service_runs import SETTINGS

    from med_stylesr.service.batch import exit_status, run_batch

    run = enhance(source, tmp_path / "out")
    record = run.manifest
    shutil.rmtree(run.outputs[0])
    record["series"][0].update(status="failed", quarantined=True, reason="given up", outputs=[], facts={})
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(record))
    again = enhance(source, tmp_path / "out", resume=True)
    assert again.status == 1
    assert not again.event("done")
    assert "--retry-quarantined" in again.event("skip")[0]["reason"]
    manifest = run_batch(
        source, tmp_path / "out", SETTINGS, jobs=1, resume=True, events=lambda event: None, retry_quarantined=True
    )
    assert exit_status(manifest) == 0
    assert run.outputs[0].is_dir()
