"""A local Ray of two workers: the same results and manifest as without, and a worker that dies costs one try."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from phantoms import BODY, stack, write_series
from service_runs import SETTINGS, Run, tree_hash

from med_stylesr.errors import UsageError
from med_stylesr.service import cluster
from med_stylesr.service.batch import exit_status, run_batch
from med_stylesr.service.plan import Job
from med_stylesr.service.settings import Limits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BOUNDED = replace(SETTINGS, limits=Limits())


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Equal runs give equal bytes.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in "abcd":
        write_series(tmp_path / "in" / name, stack(4, shape=(32, 32)), BODY)
    return tmp_path / "in"


def spread(source: Path, dest: Path, take: Any = lambda event: None, **how: Any) -> Run:
    events: list[dict[str, Any]] = []

    def told(event: Any) -> None:
        events.append(dict(event))
        take(event)

    options: dict[str, Any] = {"jobs": 2, "resume": False, "cluster": "local", **how}
    manifest = run_batch(source, dest, BOUNDED, events=told, **options)
    return Run(exit_status(manifest), dest, events)


def images(dest: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree_hash(dest).items() if name.endswith(".dcm")}


def facts(run: Run) -> list[tuple[Any, ...]]:
    entries = run.manifest["series"]
    return [(e["source"], e["status"], e["fingerprint"], e["outputs"], e["facts"]) for e in entries]


def test_a_worker_that_is_killed_costs_one_more_try_and_everything_is_as_without_a_cluster(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    pids: list[int] = []
    killed: list[int] = []
    hire = cluster.RayWorkers._hire

    def remembered(self: cluster.RayWorkers, count: int) -> None:
        before = len(self._hired)
        hire(self, count)
        pids.extend(ray.get(one.actor.introduce.remote())[2] for one in self._hired[before:])

    def kill_the_first(event: Any) -> None:
        if event["event"] == "series" and event["number"] == 1 and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    plain = spread(source, tmp_path / "plain", cluster=None, jobs=1)
    monkeypatch.setattr(cluster.RayWorkers, "_hire", remembered)
    run = spread(source, tmp_path / "ray", kill_the_first)
    assert run.status == 0
    assert [event["number"] for event in run.event("series")].count(1) == 2
    assert sorted(event["number"] for event in run.event("done")) == [1, 2, 3, 4]
    assert images(tmp_path / "ray") == images(tmp_path / "plain")
    assert facts(run) == facts(plain)
    assert capsys.readouterr().out == ""
    assert not list((tmp_path / "ray").rglob(".*"))
    again = spread(source, tmp_path / "ray", resume=True)
    assert not again.event("series")
    assert len(again.entries("done")) == 4


def test_a_scan_that_kills_every_worker_is_given_up_with_the_reason_and_the_others_are_done(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deadly(cluster.SeriesWorker):
        def do(self, job: Job, dest: Path, privacy: Any) -> Any:
            if job.number == 2:
                os._exit(9)
            return super().do(job, dest, privacy)

    monkeypatch.setattr(cluster, "SeriesWorker", Deadly)
    run = spread(source, tmp_path / "out")
    assert run.status == 1
    (entry,) = run.entries("failed")
    assert "given up after two tries: its worker died" in entry["reason"]
    assert entry["quarantined"]
    assert len(run.entries("done")) == 3
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_cluster_or_bundle_that_is_not_there_is_told_before_any_work(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="cannot be reached"):
        spread(source, tmp_path / "out", cluster="ray://127.0.0.1:1")
    assert not (tmp_path / "out").exists()
