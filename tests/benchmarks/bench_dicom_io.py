"""What reading and writing of a series costs: beside the loops people write with SimpleITK, and beside inference.

    PYTHONPATH=tests python -m benchmarks.bench_dicom_io [SERIES_FOLDER ...]

Each side finds the series, reads it as HU, and writes one derived slice a file with the kept header. CPU time of this
process on one thread, medians of rounds in which everything has its turn; the ratios of one run count. Prints the table
of docs/validation/robustness.md.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
import SimpleITK
import torch
from benchmarks.cost import cost
from phantoms import BODY, stack, write_series

from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.io.derivation import SMOOTHING, Derivation
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.dicom_write import DerivedSeriesWriter
from med_stylesr.io.publish import staged_folder
from med_stylesr.io.source import find_inputs

SAMPLE: Final = Path(__file__).resolve().parents[1] / "data" / "lidc_idri_0001" / "quarter_dose"
ROUNDS: Final = 7
SLAB: Final = 8
RADIUS: Final = 2
"""Slices on either side that the shipped network sees, each named as a source."""
DERIVATION: Final = Derivation("Copied", "bench", "1", (SMOOTHING,), datetime.now(timezone.utc), "copied", 9000, RADIUS)
TUTORIAL_TAGS: Final = (
    *("0010|0010", "0010|0020", "0010|0030", "0020|000d", "0020|0010", "0008|0020", "0008|0030", "0008|0050"),
    *("0008|0060", "0020|0032", "0020|0037"),
)
"""Patient, study and place: what SimpleITK's example DicomSeriesReadModifyWrite copies."""

Work = Callable[[Path, Path], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path, nargs="*", help="folders of one uncompressed series each")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        phantom, sample = Path(folder, "phantom"), Path(folder, "sample")
        write_series(phantom, stack(60, shape=(512, 512), spacing_mm=(0.7, 0.7), step_mm=1.0), BODY)
        uncompressed(SAMPLE, sample)
        named = {"60 slices of a phantom": phantom, "the sample scan, 16 slices": sample}
        named |= {f"{place.name}, {len(list(place.iterdir()))} slices": place for place in arguments.series}
        slab = network(sample)
        inference = statistics.median(cost(slab)["seconds"] / SLAB for _ in range(arguments.rounds))
        print_row(["series", "of SimpleITK, all attributes", "of SimpleITK, 11 attributes", "of inference at ×1"])
        print_row(["---"] * 4)
        for name, place in named.items():
            print_row(row(name, place, inference, arguments.rounds))


def print_row(cells: list[str]) -> None:
    """A row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def uncompressed(source: Path, dest: Path) -> None:
    """Copy a series without compression, whose decoding would hide what is measured."""
    dest.mkdir()
    for path in sorted(source.iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.decompress(generate_instance_uid=False)
        dataset.save_as(dest / path.name)


def row(name: str, source: Path, inference: float, rounds: int) -> list[str]:
    """CPU time of our reading and writing as a share of that of the others."""
    works: tuple[Work, ...] = (ours, every_attribute, few_attributes)
    for work in works:
        seconds(work, source)
    taken = [[seconds(work, source) for work in works] for _ in range(rounds)]
    mine, every, few = (statistics.median(column) for column in zip(*taken, strict=True))
    per_slice = mine / len(list(source.iterdir()))
    return [name, *(f"{share:.2f}" for share in (mine / every, mine / few, per_slice / inference))]


def seconds(work: Work, source: Path) -> float:
    """CPU seconds of one reading and writing."""
    with tempfile.TemporaryDirectory() as dest:
        return cost(lambda: work(source, Path(dest)))["seconds"]


def ours(source: Path, dest: Path) -> None:
    """As `enhance` does it, but for the network."""
    with find_inputs(source) as inputs, staged_folder(dest / "out", overwrite=False) as folder:
        (series,) = inputs.series
        writer = DerivedSeriesWriter(series, series.grid, DERIVATION, folder, slice_origins_mm=series.origins_mm)
        for start in range(0, len(series), SLAB):
            for offset, plane in enumerate(read_slices(series, start, min(start + SLAB, len(series)))):
                writer.write(start + offset, plane)


def every_attribute(source: Path, dest: Path) -> None:
    """SimpleITK, with the whole header of each slice but its private attributes, which it cannot write."""
    reader, image = read_with_simpleitk(source)
    for k in range(image.GetDepth()):
        write_with_simpleitk(reader, image, k, reader.GetMetaDataKeys(k), dest)


def few_attributes(source: Path, dest: Path) -> None:
    """SimpleITK, with what its own example keeps."""
    reader, image = read_with_simpleitk(source)
    for k in range(image.GetDepth()):
        write_with_simpleitk(reader, image, k, [t for t in TUTORIAL_TAGS if reader.HasMetaDataKey(k, t)], dest)


def read_with_simpleitk(source: Path) -> tuple[SimpleITK.ImageSeriesReader, SimpleITK.Image]:
    """The series as an image, with the headers of its slices in the reader."""
    reader = SimpleITK.ImageSeriesReader()
    (uid,) = reader.GetGDCMSeriesIDs(str(source))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(source), uid))
    reader.MetaDataDictionaryArrayUpdateOn()
    return reader, reader.Execute()


def write_with_simpleitk(
    reader: SimpleITK.ImageSeriesReader, image: SimpleITK.Image, k: int, keys: list[str], dest: Path
) -> None:
    """One slice as a derived image."""
    plane = SimpleITK.Cast(image[:, :, k], SimpleITK.sitkInt16)
    for key in keys:
        plane.SetMetaData(key, reader.GetMetaData(k, key))
    plane.SetMetaData("0008|0008", "DERIVED\\SECONDARY")
    plane.SetMetaData("0020|000e", "2.25.1")
    plane.SetMetaData("0008|0018", f"2.25.1.{k}")
    plane.SetMetaData("0020|0013", str(k + 1))
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(dest / f"{k:04d}.dcm"))
    writer.Execute(plane)


def network(source: Path) -> Callable[[], None]:
    """What computes a slab at ×1 with the shipped weights in the runtime that this machine would take."""
    with find_inputs(source) as inputs:
        hu = read_slices(inputs.series[0], 0, SLAB).astype(np.float32)
    enhancement = Enhancer(device="cpu").open(
        ArraySlices(hu), (2.5, 0.7, 0.7), EnhanceOptions(request=StrengthRequest(1.0))
    )

    def run() -> None:
        for _ in enhancement.slabs():
            pass

    run()
    return run


if __name__ == "__main__":
    main()
