"""Read what `find_inputs` found, whatever its format."""

from __future__ import annotations

from pathlib import Path

from med_stylesr.errors import UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile, find_inputs
from med_stylesr.io.volume_file import read_volume_file
from med_stylesr.volume import CTVolume


def read_item(item: DicomSeries | VolumeFile) -> CTVolume:
    """Read one scan.

    Raises:
        InputError: if it is damaged.
    """
    return read_volume(item) if isinstance(item, DicomSeries) else read_volume_file(item.path)


def read_single(path: Path) -> CTVolume:
    """Read the one scan that `path` holds.

    Raises:
        UsageError: if it holds none or more than one.
        InputError: if it is damaged.
    """
    with find_inputs(path) as inputs:
        items: list[DicomSeries | VolumeFile] = [*inputs.series, *inputs.volumes]
        if len(items) != 1:
            raise UsageError(str(path), f"holds {len(items)} scans, one is wanted", "name one series' folder or file")
        return read_item(items[0])
