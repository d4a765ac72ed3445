"""What `simulate` records: beside what earlier runs did in DEST, resumed like theirs, never over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from phantoms import BODY, stack, write_series

from med_stylesr.degrade.scan import DegradationPlan
from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.derivation import derived_uid
from med_stylesr.io.publish import Staging
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.service import simulated_scan
from med_stylesr.service.manifest import FAILED, Entry, Manifest, read_earlier
from med_stylesr.service.simulate import simulate_all
from med_stylesr.volume import CTVolume

SPEC = stack(3, shape=(32, 32), step_mm=3.0)
Said = list[Mapping[str, Any]]


def plan(seed: int = 0) -> DegradationPlan:
    return DegradationPlan(0.5, None, None, "rectangular", None, None, seed, "ge-lightspeed", 1e5, "soft", 3.0, None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_series(tmp_path / "src", SPEC, BODY)
    return tmp_path / "src"


def simulate(source: Path, dest: Path, *, seed: int = 0, resume: bool = False, overwrite: bool = False) -> Said:
    said: Said = []
    simulate_all(source, dest, plan(seed), device="cpu", overwrite=overwrite, resume=resume, events=said.append)
    return said


def entries(dest: Path) -> list[dict[str, Any]]:
    series: list[dict[str, Any]] = json.loads((dest / "manifest.json").read_text())["series"]
    return series


def contents(dest: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in dest.rglob("*") if p.is_file() and p.name != "manifest.json"}


def enhanced(dest: Path, **arguments: Any) -> Entry:
    """A folder as an earlier run of `enhance` left it."""
    (dest / "P").mkdir(parents=True)
    (dest / "P" / "a.nii.gz").write_bytes(b"a result")
    manifest = Manifest(dest, "enhance", arguments)
    entry = Entry("a.nii.gz", "volume", "done", fingerprint="f" * 64, outputs=["P/a.nii.gz"])
    manifest.put(entry)
    manifest.save()
    return entry


def test_the_record_of_an_earlier_run_of_any_verb_is_not_overwritten_unasked(tmp_path: Path, source: Path) -> None:
    enhanced(tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="earlier run"):
        simulate(source, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_entries_of_earlier_runs_stay_beside_new_ones(tmp_path: Path, source: Path, how: str) -> None:
    known = enhanced(tmp_path / "out")
    simulate(source, tmp_path / "out", **{how: True})
    assert sorted(e["kind"] for e in entries(tmp_path / "out")) == ["dicom", "volume"]
    assert known in read_earlier(tmp_path / "out").done


def test_results_with_identifiers_do_not_come_beside_deidentified_ones(tmp_path: Path, source: Path) -> None:
    enhanced(tmp_path / "out", deidentify="basic")
    for how in ("resume", "overwrite"):
        with pytest.raises(UsageError, match="de-identified"):
            simulate(source, tmp_path / "out", **{how: True})


def test_resuming_skips_what_is_done_under_the_same_plan_and_does_the_rest(tmp_path: Path, source: Path) -> None:
    simulate(source, tmp_path / "out")
    write_series(source / "new", SPEC, BODY)
    for path in (source / "new").iterdir():
        header = pydicom.dcmread(path)
        header.SeriesInstanceUID = derived_uid("new")
        header.SOPInstanceUID = derived_uid(header.SOPInstanceUID)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.save_as(path)
    said = simulate(source, tmp_path / "out", resume=True)
    assert [e["event"] for e in said if e["event"] in ("skip", "done")] == ["skip", "done"]
    assert [e["status"] for e in entries(tmp_path / "out")] == ["done", "done"]
    said = simulate(source, tmp_path / "out", resume=True, seed=5)
    assert [e["event"] for e in said if e["event"] in ("skip", "done")] == ["done", "done"]
    assert len(entries(tmp_path / "out")) == 4


def test_an_interrupted_run_is_resumed_to_what_an_undisturbed_one_writes(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulated_scan, "_write_sidecar", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(source, tmp_path / "out")
    (entry,) = entries(tmp_path / "out")
    assert entry["status"] == "running"
    assert not contents(tmp_path / "out")
    simulate(source, tmp_path / "out", resume=True)
    assert entries(tmp_path / "out")[0]["created"] == entry["created"]


def test_a_run_killed_before_its_manifest_was_written_has_done_what_it_published(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Staging.publish

    def unsaved(self: Manifest) -> None:
        raise InputError("manifest.json", "cannot be written")

    with monkeypatch.context() as patch:

        def killed(self: Staging, *given: Any) -> None:
            publish(self, *given)
            patch.setattr(Manifest, "save", unsaved)
            raise KeyboardInterrupt

        patch.setattr(Staging, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate(source, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.dcm")}
    assert before
    said = simulate(source, tmp_path / "out", resume=True)
    assert "done by an earlier run" in [e.get("reason") for e in said]
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert [e["status"] for e in entries(tmp_path / "out")] == ["done"]
    assert not list((tmp_path / "out").glob(".*"))


def test_a_scan_that_this_program_made_says_so_in_its_entry(tmp_path: Path, source: Path) -> None:
    simulate(source, tmp_path / "one")
    assert not entries(tmp_path / "one")[0]["warnings"]
    simulate(tmp_path / "one", tmp_path / "two")
    told = [e for e in entries(tmp_path / "two") if e["kind"] == "dicom"]
    assert "result of med-stylesr already (Simulated low dose" in " ".join(told[0]["warnings"])


def test_two_volumes_that_would_be_written_to_one_place_are_told_apart(tmp_path: Path) -> None:
    volume = CTVolume(np.full((2, 40, 40), 40, np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    (tmp_path / "src").mkdir()
    write_volume_file(volume, tmp_path / "src" / "a.mha")
    whole = (tmp_path / "src" / "a.mha").read_bytes()
    start = whole.index(b"LOCAL\n") + len(b"LOCAL\n")
    (tmp_path / "src" / "a.mhd").write_bytes(whole[:start].replace(b"LOCAL", b"a.raw"))
    (tmp_path / "src" / "a.raw").write_bytes(whole[start:])
    simulate(tmp_path / "src", tmp_path / "out", overwrite=True)
    failed = [e for e in entries(tmp_path / "out") if e["status"] == FAILED]
    assert len(failed) == 1
    assert "same place" in failed[0]["reason"]
