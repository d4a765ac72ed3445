"""What reading and writing of a series costs beside the loop that people write with SimpleITK.

Run by hand: ``python tests/benchmarks/bench_dicom_io.py [SERIES_FOLDER]``. CPU time; the ratio of one run counts.
Both sides find the series, read it as HU, and write one derived slice a file with the kept header.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import SimpleITK

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantoms import BODY, stack, write_series

from med_stylesr.io.derivation import SMOOTHING, Derivation
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.dicom_write import DerivedSeriesWriter
from med_stylesr.io.source import find_inputs

ROUNDS = 3
SLAB = 8
DERIVATION = Derivation("Copied", "bench", "1", (SMOOTHING,), datetime.now(timezone.utc), "copied", 9000, 1)


def ours(source: Path, dest: Path) -> None:
    with find_inputs(source) as inputs:
        (series,) = inputs.series
        writer = DerivedSeriesWriter(series, series.grid, DERIVATION, dest, slice_origins_mm=series.origins_mm)
        for start in range(0, len(series), SLAB):
            for offset, plane in enumerate(read_slices(series, start, min(start + SLAB, len(series)))):
                writer.write(start + offset, plane)


def simpleitk(source: Path, dest: Path) -> None:
    """As in SimpleITK's example DicomSeriesReadModifyWrite: tags of each slice copied, the changed ones set."""
    reader = SimpleITK.ImageSeriesReader()
    (uid,) = reader.GetGDCMSeriesIDs(str(source))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(source), uid))
    reader.MetaDataDictionaryArrayUpdateOn()
    reader.LoadPrivateTagsOn()
    image = reader.Execute()
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetDepth()):
        plane = SimpleITK.Cast(image[:, :, k], SimpleITK.sitkInt16)
        for key in reader.GetMetaDataKeys(k):
            plane.SetMetaData(key, reader.GetMetaData(k, key))
        plane.SetMetaData("0008|0008", "DERIVED\\SECONDARY")
        plane.SetMetaData("0020|000e", "2.25.1")
        plane.SetMetaData("0008|0018", f"2.25.1.{k}")
        writer.SetFileName(str(dest / f"{k:04d}.dcm"))
        writer.Execute(plane)


def seconds(work: Callable[[Path, Path], None], source: Path) -> float:
    with tempfile.TemporaryDirectory() as dest:
        begun = time.process_time()
        work(source, Path(dest))
        return time.process_time() - begun


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder, "in")
        if len(sys.argv) == 1:
            write_series(source, stack(60, shape=(512, 512), spacing_mm=(0.7, 0.7), step_mm=1.0), BODY)
        for work in (ours, simpleitk):
            seconds(work, source)
        pairs = [(seconds(ours, source), seconds(simpleitk, source)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"med-stylesr {mine:.2f} s, SimpleITK {theirs:.2f} s of CPU: {mine / theirs:.2f} of its time")


if __name__ == "__main__":
    main()
