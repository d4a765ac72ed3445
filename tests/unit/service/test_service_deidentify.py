"""Nothing unread stays in DEST, no run meddles with another's files or record, and nothing in SOURCE goes unnamed."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from deid_tokens import Tokens, nifti_with_tokens, plain_slice, written

from med_stylesr.errors import UsageError
from med_stylesr.service import lock
from med_stylesr.service.deidentify import DeidentifyJob, run_deidentify

pytestmark = pytest.mark.filterwarnings("ignore")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))

    def run(events: Callable[[Mapping[str, Any]], None] = lambda event: None, **settings: Any) -> dict[str, Any]:
        job = DeidentifyJob(
            **{
                "source": tmp_path / "in", "dest": tmp_path / "out", "profile": "basic", "key_file": tmp_path / "key",
                "mapping_csv": None, "jobs": 1, "dry_run": False, "overwrite": True,
            }
            | settings
        )  # fmt: skip
        return run_deidentify(job, events)

    return run


def leave_behind(dest: pathlib.Path) -> list[pathlib.Path]:
    """What a killed process leaves: a file of a series, a volume and an audit; and a stranger's file."""
    left = [
        dest / "P1" / "2.25.1" / ".partial-4711-2.25.2.dcm",
        dest / ".partial-4711-V1.nii",
        dest / ".partial-4711-deidentify-audit.json",
    ]
    left[0].parent.mkdir(parents=True, exist_ok=True)
    for path in (*left, dest / "P1" / "notes.txt"):
        path.write_text("not read back")
    return left


def test_what_a_killed_run_left_is_removed_by_the_next(run: Run, tmp_path: pathlib.Path) -> None:
    left = leave_behind(tmp_path / "out")
    assert run()["files"]["written"] == 1
    assert not any(path.exists() for path in left)
    assert (tmp_path / "out" / "P1" / "notes.txt").read_text() == "not read back"


def test_what_a_worker_that_died_left_is_removed_by_its_own_run(run: Run, tmp_path: pathlib.Path) -> None:
    left: list[pathlib.Path] = []

    def begin(event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            left.extend(leave_behind(tmp_path / "out"))

    assert run(begin)["files"]["written"] == 1
    assert left
    assert not any(path.exists() for path in left)


def test_a_dry_run_removes_nothing(run: Run, tmp_path: pathlib.Path) -> None:
    left = leave_behind(tmp_path / "out")
    run(dry_run=True)
    assert all(path.exists() for path in left)


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_no_run_removes_what_another_is_writing(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock.sole_use.__wrapped__, "__defaults__", (0.2,))
    left = leave_behind(tmp_path / "out")
    with lock.sole_use(tmp_path / "out"), pytest.raises(UsageError, match="another run is at work"):
        run()
    assert all(path.exists() for path in left)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_workers_of_a_killed_run_end_and_the_next_run_cleans_up(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice(2048)))
    dest = tmp_path / "out"
    command = [sys.executable, "-m", "med_stylesr", "deidentify", str(tmp_path / "in"), str(dest), "--jobs", "1"]
    command += ["--key-file", str(tmp_path / "key")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(dest.rglob(".partial-*.dcm")):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    with lock.sole_use(dest, 20):
        left = list(dest.rglob("*.dcm"))
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))
    assert run()["files"]["written"] == 1
    assert not list(dest.rglob(".partial-*"))
    assert all(not path.exists() for path in left if path.name.startswith(".partial-"))


def test_holding_a_volume_back_leaves_dest_itself(run: Run, tmp_path: pathlib.Path) -> None:
    held_back = plain_slice()
    held_back.BurnedInAnnotation = "YES"
    (tmp_path / "in" / "a.dcm").write_bytes(written(held_back))
    volume = bytearray(nifti_with_tokens(Tokens()))
    at = volume.index(np.arange(64, dtype="<i2").tobytes())
    volume[at : at + 10] = held_back.PatientID.encode()
    (tmp_path / "in" / "v.nii").write_bytes(volume)
    assert run()["verification"]["passed"] is False
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deidentify-audit.json"]


def audit(tmp_path: pathlib.Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((tmp_path / "out" / "deidentify-audit.json").read_text())
    return record


def another_slice(path: pathlib.Path, uid: str) -> None:
    dataset = plain_slice()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    path.write_bytes(written(dataset))


def results(tmp_path: pathlib.Path) -> set[pathlib.Path]:
    return set((tmp_path / "out").rglob("*.dcm"))


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("key_file", ["other", None])
def test_results_of_another_key_are_not_added_to(
    run: Run, tmp_path: pathlib.Path, key_file: str | None, overwrite: bool
) -> None:
    run()
    before = (results(tmp_path), audit(tmp_path))
    with pytest.raises(UsageError, match="another key or of none; give the --key-file of that run, or another DEST"):
        run(key_file=key_file and tmp_path / key_file, overwrite=overwrite)
    assert (results(tmp_path), audit(tmp_path)) == before
    assert not (tmp_path / "other").exists()


def test_with_the_same_key_the_record_tells_of_every_run(run: Run, tmp_path: pathlib.Path) -> None:
    run()
    another_slice(tmp_path / "in" / "b.dcm", "1.2.826.0.1.3680043.2.1143.1.9")
    run(profile="internal-qa", overwrite=False, source=tmp_path / "in" / "b.dcm")
    run(overwrite=False)
    told = audit(tmp_path)
    names = [one["profile"]["name"] for one in (*told["earlier"], told)]
    assert names == ["basic", "internal-qa", "basic"]
    assert [one["files"]["written"] for one in told["earlier"]] == [1, 1]
    assert "earlier" not in told["earlier"][0]
    assert len(results(tmp_path)) == 2
    key = (tmp_path / "key").read_text().strip()
    assert key not in json.dumps(told)


def test_a_run_that_was_stopped_is_in_the_record_of_the_next(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("med_stylesr.service.deidentify.keyed_name", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert len(results(tmp_path)) == 1
    with pytest.raises(UsageError, match="another key or of none"):
        run(key_file=None)
    run()
    assert [one["finished"] for one in (*audit(tmp_path)["earlier"], audit(tmp_path))] == [False, True]


def test_a_record_that_is_none_keeps_its_results_apart(run: Run, tmp_path: pathlib.Path) -> None:
    run()
    for damaged in ("{", "[]", "{}", '{"key": 3}'):
        (tmp_path / "out" / "deidentify-audit.json").write_text(damaged)
        with pytest.raises(UsageError, match="another key or of none"):
            run()


def test_a_record_without_results_keeps_nobody_out(run: Run, tmp_path: pathlib.Path) -> None:
    held_back = plain_slice()
    held_back.BurnedInAnnotation = "YES"
    (tmp_path / "in" / "a.dcm").write_bytes(written(held_back))
    run()
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))
    assert run(key_file=None)["files"]["written"] == 1
    assert audit(tmp_path)["earlier"] == []


@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")
def test_folders_that_are_not_read_are_held_back_by_name(run: Run, tmp_path: pathlib.Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "in" / "linked").symlink_to(elsewhere)
    (tmp_path / "in" / "b.dcm").symlink_to(tmp_path / "in" / "a.dcm")
    told: list[Mapping[str, Any]] = []
    record = run(told.append)
    assert record["files"]["written"] == 1
    assert len(record["files"]["quarantined"]) == 2
    skipped = {pathlib.Path(e["source"]).name: e["reason"] for e in told if e["event"] == "skip" and e["problem"]}
    assert set(skipped) == {"linked", "b.dcm"}
    assert all(reason == "link: it is not followed, what it leads to was not read" for reason in skipped.values())


def deny(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be one that cannot be listed, for whoever runs the tests."""
    scandir = os.scandir

    def denied(path: Any) -> Any:
        if pathlib.Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)


def test_a_folder_that_cannot_be_listed_is_held_back_by_name(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in" / "closed").mkdir()
    (tmp_path / "in" / "closed" / "b.dcm").write_bytes(written(plain_slice()))
    deny(tmp_path / "in" / "closed", monkeypatch)
    told: list[Mapping[str, Any]] = []
    record = run(told.append)
    assert [len(record["files"][kind]) for kind in ("quarantined", "left_out")] == [1, 0]
    (skipped,) = (event for event in told if event["event"] == "skip")
    assert skipped["source"] == str(tmp_path / "in" / "closed")
    assert skipped["reason"] == "folder: it cannot be listed, nothing in it was read"


def test_a_source_that_cannot_be_listed_is_told_at_once(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(tmp_path / "in", monkeypatch)
    with pytest.raises(UsageError, match="in: cannot be listed"):
        run()
    assert not (tmp_path / "out").exists()


def test_a_place_for_the_mapping_is_made_and_a_folder_there_refused_at_once(run: Run, tmp_path: pathlib.Path) -> None:
    run(mapping_csv=tmp_path / "keep" / "mapping.csv")
    assert (tmp_path / "keep" / "mapping.csv").read_text().startswith("id_old,id_new\n")
    with pytest.raises(UsageError, match="is a folder"):
        run(mapping_csv=tmp_path / "keep")
