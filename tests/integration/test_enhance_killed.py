"""The real program killed (SIGKILL) at random times, its workers with it or not, and resumed to the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import BODY, stack, write_series
from service_runs import settled, tree_hash

from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.volume import CTVolume

PROGRAM = [sys.executable, "-c", "from med_stylesr.cli.main import run; run()", "enhance"]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
    "SOURCE_DATE_EPOCH": "1700000000",
}


class Runs:
    """Starts runs into folders and knows how long the work in one takes."""

    def __init__(self, root: Path) -> None:
        self.source, self.root = root / "in", root
        for k in range(6):
            write_series(self.source / f"s{k}", stack(6, shape=(64, 64)), BODY)
        (broken,) = write_series(self.source / "broken", stack(1, shape=(32, 32)), BODY)
        broken.write_bytes(broken.read_bytes()[:-700])
        write_volume_file(CTVolume(np.zeros((2, 32, 32), np.int16), np.eye(4)), self.source / "v.nii.gz")
        self.given = tree_hash(self.source)
        begun = self.start(root / "whole")
        self._wait_for_start(begun)
        started = time.monotonic()
        assert self.ended(begun) == 1
        self.seconds = time.monotonic() - started
        self.whole = settled(root / "whole")

    def start(self, dest: Path, *options: str) -> subprocess.Popen[str]:
        arguments = [*PROGRAM, str(self.source), str(dest), "--strength", "1", "--json", *options]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        return subprocess.Popen(arguments, env=ENVIRONMENT, start_new_session=True, **streams)

    def ended(self, run: subprocess.Popen[str]) -> int:
        run.communicate(timeout=600)
        return run.returncode

    def _wait_for_start(self, run: subprocess.Popen[str]) -> None:
        assert run.stdout is not None
        for line in run.stdout:
            if json.loads(line)["event"] == "start":
                return

    def kill(self, run: subprocess.Popen[str], chance: random.Random) -> None:
        """At a random moment of its work; the workers too, or they find out for themselves."""
        self._wait_for_start(run)
        time.sleep(chance.uniform(0.0, 1.1 * self.seconds))
        if chance.random() < 0.5:
            run.kill()
        else:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=300)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("killed"))


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("kills", "seed"), [(3, 1), *(pytest.param(4, seed, marks=pytest.mark.slow) for seed in range(2, 7))]
)
def test_a_run_killed_at_random_times_is_resumed_to_the_same_bytes(runs: Runs, kills: int, seed: int) -> None:
    chance, dest = random.Random(seed), runs.root / f"out{seed}"
    runs.kill(runs.start(dest), chance)
    for _ in range(kills - 1):
        runs.kill(runs.start(dest, "--resume"), chance)
    assert runs.ended(runs.start(dest, "--resume")) == 1, "the broken series fails, the rest is done"
    now = settled(dest)
    assert now.pop("manifest.json")["series"] == runs.whole["manifest.json"]["series"]
    assert now == {place: digest for place, digest in runs.whole.items() if place != "manifest.json"}
    assert tree_hash(runs.source) == runs.given
