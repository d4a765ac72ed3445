"""Several scans at once give what one after the other gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from phantoms import BODY, stack, write_series

from med_stylesr.io.source import VolumeFile
from med_stylesr.service.manifest import Entry
from med_stylesr.service.plan import Job
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.processes import Lost
from med_stylesr.service.workers import _given_up


@pytest.mark.slow
def test_two_workers_give_the_same_results_as_none(tmp_path: Path, enhance: Any) -> None:
    for name in "abc":
        write_series(tmp_path / "in" / name, stack(2, shape=(32, 32)), BODY)
    (broken,) = write_series(tmp_path / "in" / "broken", stack(1, shape=(32, 32)), BODY)
    broken.write_bytes(broken.read_bytes()[:-700])
    one = enhance(tmp_path / "in", tmp_path / "one", strength=1.0)
    two = enhance(tmp_path / "in", tmp_path / "two", strength=1.0, jobs=2)
    assert one.status == two.status == 1

    def told(run: Any) -> list[Any]:
        changing = ("seconds", "reason")
        return [{k: v for k, v in entry.items() if k not in changing} for entry in run.manifest["series"]]

    assert told(one) == told(two)
    assert sorted(e["number"] for e in two.event("series")) == [1, 2, 3, 4]
    assert len(two.event("done")) == 3
    for first, second in zip(one.outputs, two.outputs, strict=True):
        for path in first.iterdir():
            ours, theirs = (pydicom.dcmread(folder / path.name) for folder in (first, second))
            assert ours.SOPInstanceUID == theirs.SOPInstanceUID
            np.testing.assert_array_equal(ours.pixel_array, theirs.pixel_array)


def test_workers_that_never_start_are_told_as_such_and_nothing_is_quarantined(tmp_path: Path) -> None:
    job = Job(VolumeFile(tmp_path / "a.nii", Path("a.nii")), Entry("a.nii", "volume", "running"), "a.nii", 1)
    entry = _given_up(job, Privacy(None, None), Lost("took more memory than its limit of 1 MB", begun=False)).entry
    why = "no worker process could be started: the last one took more memory than its limit of 1 MB"
    assert entry.reason == f"{why}; see --memory-limit"
    assert not entry.quarantined
    entry = _given_up(job, Privacy(None, None), Lost("ran out of memory")).entry
    assert entry.reason.startswith("given up after two tries: its worker process ran out of memory")
    assert entry.quarantined
