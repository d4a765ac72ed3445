"""What others say of a DICOM file that this program has written: dciodvfy, dcentvfy, and its own reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs

TOOLS = Path(sys.executable).parent


def series_of(folder: Path) -> DicomSeries:
    with find_inputs(folder) as inputs:
        (series,) = inputs.series
        return series


def errors_of(*files: Path) -> list[str]:
    lines = []
    for path in files:
        run = subprocess.run(
            [TOOLS / "dciodvfy", "-new", path], capture_output=True, text=True, errors="replace", check=False
        )
        lines += [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    return lines


def mismatches(*files: Path) -> list[str]:
    run = subprocess.run([TOOLS / "dcentvfy", *files], capture_output=True, text=True, errors="replace", check=False)
    lines = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    return sorted({line.partition(" for file ")[0] for line in lines})
