"""The program as its users run it, from a DICOM folder to a DICOM folder on all cores: time, first slices, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pydicom
from pydicom.uid import generate_uid

from med_stylesr.inference.bundle_folder import BUNDLE_2D

SPACING_MM: Final = 2.5
"""Between the slices of the generated scan."""


@dataclass(frozen=True)
class Run:
    """One run of the program.

    Attributes:
        bundle: 2D bundle, and the precision if one was asked for.
        slices: of the input.
        first_s: seconds from the start of the process to the first slices that are done.
        wall_s: seconds in all.
        cpu_s: CPU seconds of all its processes.
        peak_gb: memory of its largest process, 10⁹ bytes.
    """

    bundle: str
    slices: int
    first_s: float
    wall_s: float
    cpu_s: float
    peak_gb: float


class Runs:
    """Runs of `med-stylesr enhance` on generated scans; the first one of a kind fills the cache.

    Args:
        sample: DICOM folder whose slices are repeated.
        folder: for scans and results; results are replaced by each run.
    """

    def __init__(self, sample: Path, folder: Path) -> None:
        self._sample, self._folder = sample, folder
        # All cores, whatever this process was told.
        self._environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        self._environment["MED_STYLESR_CACHE"] = str(folder / "cache")

    def run(
        self,
        slices: int,
        scale: tuple[int, int, int] = (1, 1, 1),
        bundle: str = BUNDLE_2D,
        precision: str | None = None,
    ) -> Run:
        """Enhance a scan of so many slices, with its report."""
        source = self._scan(slices)
        command = [sys.executable, "-m", "med_stylesr", "enhance", str(source), str(self._folder / "out")]
        command += ["--json", "--overwrite", "--bundle", bundle, "--scale", *map(str, scale)]
        command += ["--precision", precision] if precision else []
        began, first = time.monotonic(), 0.0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment) as process:
            for line in process.stdout or ():
                if not first and json.loads(line)["event"] == "progress":
                    first = time.monotonic() - began
            # Popen's own waiting would throw the usage away.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        wall = time.monotonic() - began
        name = f"{bundle} {precision}" if precision else bundle
        return Run(name, slices, first, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)

    def _scan(self, slices: int) -> Path:
        """Uncompressed slices of the sample, over and over, at even distances."""
        folder = self._folder / f"scan{slices}"
        if folder.is_dir():
            return folder
        folder.mkdir()
        given = [pydicom.dcmread(path) for path in sorted(self._sample.iterdir())]
        for one in given:
            one.decompress(generate_instance_uid=False)
        x, y, z = (float(value) for value in given[0].ImagePositionPatient)
        series = generate_uid()
        for k in range(slices):
            one = given[k % len(given)]
            one.ImagePositionPatient = [x, y, z + SPACING_MM * k]
            one.SliceLocation = z + SPACING_MM * k
            one.SeriesInstanceUID, one.InstanceNumber = series, k + 1
            one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            one.save_as(folder / f"{k:04d}.dcm")
        return folder


@contextmanager
def runs(sample: Path) -> Iterator[Runs]:
    """Runs in a temporary folder."""
    with TemporaryDirectory() as name:
        yield Runs(sample, Path(name))


def rows(ways: Sequence[Sequence[Run]], through_plane: Run) -> list[list[str]]:
    """A table of runs: at scale 1 in several ways, of growing length, and through plane."""
    head = ["bundle", "slices", "scale", "seconds", "to the first slices", "CPU seconds a further slice", "memory, GB"]

    def row(run: Run, scale: str, before: Run | None) -> list[str]:
        further = f"{(run.cpu_s - before.cpu_s) / (run.slices - before.slices):.3f}" if before else ""
        seconds = [f"{run.wall_s:.1f}", f"{run.first_s:.1f}", further]
        return [run.bundle, str(run.slices), scale, *seconds, f"{run.peak_gb:.2f}"]

    return [
        head,
        *(row(run, "1 1 1", before) for runs in ways for before, run in zip([None, *runs], runs, strict=False)),
        row(through_plane, "2 1 1", None),
    ]
