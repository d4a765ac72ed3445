"""Stands for `med-stylesr enhance` in tests of the server: same arguments, same manifest, no network of neurons.

Every series of SOURCE becomes a derived one of the same study. Files in the folder that FAKE_ENHANCE names steer it:
`fail` makes it fail, `slow` makes it wait.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid


def main(source: Path, dest: Path) -> int:
    steer = Path(os.environ["FAKE_ENHANCE"])
    (steer / "calls").open("a").write(f"{source.name}\n")
    (steer / "options").write_text(" ".join(sys.argv[3:]))
    if (steer / "fail").exists():
        print("med-stylesr: fake: cannot do PH-1; try again", file=sys.stderr)
        return 1
    while (steer / "slow").exists():
        time.sleep(0.05)
    series: dict[str, list[Dataset]] = {}
    for path in sorted(source.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        series.setdefault(dataset.SeriesInstanceUID, []).append(dataset)
    entries = []
    for uid, images in series.items():
        sources = sorted(image.SOPInstanceUID for image in images)
        derived = generate_uid(entropy_srcs=["derived", *sources])
        folder = dest / "PH-1" / derived
        if not folder.exists():
            partial = folder.with_name(f".partial-{os.getpid()}-{derived}")
            partial.mkdir(parents=True)
            for number, image in enumerate(images):
                write(image, derived, number, partial)
            partial.rename(folder)
        entries.append({"source": uid, "status": "done", "reason": "", "outputs": [f"PH-1/{derived}"]})
    partial = dest / ".partial-manifest.json"
    partial.write_text(json.dumps({"series": entries}))
    partial.rename(dest / "manifest.json")
    return 0


def write(image: Dataset, series: str, number: int, folder: Path) -> None:
    equipment = Dataset()
    equipment.Manufacturer = "med-stylesr"
    image.ContributingEquipmentSequence = [equipment]
    image.SeriesInstanceUID = series
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    image.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
