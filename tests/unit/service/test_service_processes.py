"""A worker that dies takes its own item with it; all stop, and clean up, when the run is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from stopped_worker import begin_badly, nothing, square_or_die, square_or_wait, wait_for_ever

from med_stylesr.service.processes import spread


def test_items_of_killed_workers_are_named_and_all_others_done() -> None:
    began: list[int] = []
    results = dict(spread(square_or_die, [1, 2, -1, 3, 4], 2, nothing, (), began.append))
    assert results == {1: 1, 2: 4, -1: None, 3: 9, 4: 16}
    assert set(began) == set(results)


def test_workers_that_cannot_even_start_do_not_hang_the_run() -> None:
    assert dict(spread(square_or_die, [5, 6], 2, begin_badly, (), lambda item: None)) == {5: None, 6: None}


def test_an_interruption_stops_the_workers_and_lets_them_clean_up(tmp_path: Path) -> None:
    def stop_when_all_work() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_when_all_work, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(spread(wait_for_ever, [str(tmp_path)] * 3, 2, nothing, (), lambda item: None))
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 200


def test_whoever_loses_interest_stops_the_workers_too(tmp_path: Path) -> None:
    results = spread(square_or_wait, ["3", str(tmp_path)], 2, nothing, (), lambda item: None)
    assert next(results) == ("3", 9)
    results.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_workers_of_a_killed_run_do_not_live_on(tmp_path: Path) -> None:
    code = (
        "from med_stylesr.service.processes import spread\n"
        "from stopped_worker import nothing, wait_for_ever\n"
        f"if __name__ == '__main__': list(spread(wait_for_ever, [{str(tmp_path)!r}], 1, nothing, (), lambda i: None))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
    script = tmp_path.parent / "killed.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": paths})
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    (here,) = tmp_path.iterdir()
    run.kill()
    run.wait()
    while here.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not here.exists()
