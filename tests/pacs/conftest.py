"""An Orthanc, the server under test as a process, and dcmtk's programs by their full names.

pynetdicom installs programs named like dcmtk's into the environment, so that names alone do not tell which are meant.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from orthanc_archive import Orthanc
from pacs_peers import free_port, wait_for

DCMTK = Path("/usr/bin")


@pytest.fixture
def stylesr_port() -> int:
    """Where the server under test is to listen; Orthanc must know it before that server starts."""
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, stylesr_port: int) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc", stylesr_port).started() as started:
        yield started


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path, stylesr_port: int) -> Serve:
    """`med-stylesr serve` as its users run it, with quick pauses; a context that yields the file of its log."""

    @contextmanager
    def run(*options: str, enhance: tuple[str, ...] = ("--strength", "0")) -> Iterator[Path]:
        log = tmp_path / "serve.log"
        command = [sys.executable, "-m", "med_stylesr", "serve", str(tmp_path / "state"), "--port", str(stylesr_port)]
        quick = ["--quiet", "1", "--http-port", "0", "--min-free-gb", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log.open("ab") as stream:
            process = subprocess.Popen([*command, *quick, *options, "--", *enhance], stderr=stream, env=environment)
            try:
                wait_for(lambda: '"started"' in log.read_text(), 60)
                yield log
            finally:
                process.terminate()
                assert process.wait(90) == 0

    return run


@pytest.fixture
def dcmtk() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program of dcmtk and returns how it ended."""

    def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(DCMTK / program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run
