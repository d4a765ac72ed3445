"""A worker that crashes, hangs or balloons is replaced, its item tried once more; all stop and clean up in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import stopped_worker as work

from med_stylesr.service.processes import Crew, Lost


def crew(does: Any, jobs: int = 2, start: Any = work.nothing, **limits: Any) -> Crew[Any, Any]:
    return Crew(does, start, (), jobs, **limits)


def test_items_of_killed_workers_are_tried_twice_named_and_all_others_done() -> None:
    began: list[int] = []
    heard: list[int] = []
    with crew(work.square_or_die) as workers:
        results = dict(workers.spread([1, 2, -1, 3, -2, 4], began.append, lambda item, told: heard.append(told)))
    assert {n: r for n, r in results.items() if n > 0} == {1: 1, 2: 4, 3: 9, 4: 16}
    assert isinstance(results[-1], Lost)
    assert "SIGKILL" in results[-1].reason
    assert "SIGSEGV" in results[-2].reason
    assert sorted(began) == [-2, -2, -1, -1, 1, 2, 3, 4]
    assert sorted(heard) == [1, 2, 3, 4]


def test_what_fails_once_is_done_the_second_time(tmp_path: Path) -> None:
    with crew(work.die_the_first_time, jobs=1) as workers:
        item = str(tmp_path / "mark")
        assert dict(workers.spread([item], lambda item: None)) == {item: "done"}


def test_what_a_dead_worker_has_finished_is_not_begun_again(tmp_path: Path) -> None:
    with crew(work.square_or_die, jobs=1, buried=lambda item, process: 7) as workers:
        assert dict(workers.spread([-1], lambda item: None)) == {-1: 7}


def test_a_hang_is_stopped_at_its_time_limit_and_the_others_done() -> None:
    started = time.monotonic()
    with crew(work.hang) as workers:
        results = dict(workers.spread([-1, 1, 2], lambda item: None, allowed=lambda item: 1.0 if item < 0 else None))
    assert results[1] == 1
    assert results[2] == 2
    assert "time limit" in results[-1].reason
    assert time.monotonic() - started < 100


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read from /proc")
def test_a_balloon_is_stopped_at_its_memory_limit_and_the_others_done() -> None:
    with crew(work.balloon, jobs=1, memory_bytes=150 << 20) as workers:
        results = dict(workers.spread([2000, 10], lambda item: None))
    assert results[10] == 10
    assert "more memory than its limit of 150 MB" in results[2000].reason


def test_a_worker_without_memory_is_replaced_and_says_why() -> None:
    with crew(work.without_memory, jobs=1) as workers:
        ((_, lost),) = workers.spread([1], lambda item: None)
    assert lost == Lost("ran out of memory")


def test_workers_that_cannot_even_start_do_not_hang_the_run() -> None:
    with crew(work.square_or_die, start=work.begin_badly) as workers:
        results = dict(workers.spread([5, 6], lambda item: None))
    assert set(results) == {5, 6}
    assert not any(lost.begun for lost in results.values())
    assert all(isinstance(result, Lost) for result in results.values())


def test_what_hinders_the_first_worker_is_told_to_whoever_starts_it() -> None:
    with crew(work.square_or_die) as workers:
        workers.hire()
        assert workers.begin() == "ready"
    with crew(work.square_or_die, start=work.begin_unfit) as workers:
        workers.hire()
        with pytest.raises(ValueError, match="no such device"):
            workers.begin()


def test_what_is_shared_reaches_every_worker_once_old_and_new() -> None:
    with crew(work.shared_place) as workers:
        workers.hire()
        workers.share(work.accept, "here")
        results = [result for _, result in workers.spread(range(6), lambda item: None)]
    assert all(places == ["here"] for _, places in results)


def test_an_interruption_stops_the_workers_and_lets_them_clean_up(tmp_path: Path) -> None:
    def stop_when_all_work() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_when_all_work, daemon=True).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), crew(work.wait_for_ever) as workers:
        list(workers.spread([str(tmp_path)] * 3, lambda item: None))
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - started < 200


def test_whoever_loses_interest_stops_the_workers_too(tmp_path: Path) -> None:
    with crew(work.square_or_wait) as workers:
        assert next(workers.spread(["3", str(tmp_path)], lambda item: None)) == ("3", 9)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_workers_of_a_killed_run_do_not_live_on(tmp_path: Path) -> None:
    code = (
        "from med_stylesr.service.processes import Crew\n"
        "from stopped_worker import nothing, wait_for_ever\n"
        "if __name__ == '__main__':\n"
        f"    list(Crew(wait_for_ever, nothing, (), 1).spread([{str(tmp_path)!r}], lambda i: None))\n"
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
