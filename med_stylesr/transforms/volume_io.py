"""Reading CT volumes into MONAI's pipelines and writing predictions back, through the package's own files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import lps_to_ras
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, volume_ending, write_volume_file
from med_stylesr.volume import CTVolume

# Array order (slice, row, column) to the (column, row, slice) that an affine of CTVolume takes; its own inverse.
_REVERSED: NDArray[np.float64] = np.eye(4)[[2, 1, 0, 3]]


class LoadCT(Transform):
    """Read a volume file (NIfTI, NRRD, MetaImage) or a folder or file of one DICOM series as HU.

    Returns a float32 `MetaTensor` of shape (1, slices, rows, columns); its affine maps that index order to RAS mm as
    MONAI expects, `meta["spacing_mm"]` is (slice, row, column), `meta["filename_or_obj"]` the path.

    Raises:
        InputError: if the place holds more than one volume or is damaged.
    """

    def __call__(self, path: str | Path) -> MetaTensor:
        """Read `path`."""
        volume = _read(Path(path))
        meta = {"filename_or_obj": str(path), "spacing_mm": volume.spacing_mm, **_thickness(volume)}
        hu = torch.from_numpy(np.ascontiguousarray(volume.hu, dtype=np.float32))[None]
        return MetaTensor(hu, affine=torch.from_numpy(lps_to_ras(volume.affine) @ _REVERSED), meta=meta)


class LoadCTd(MapTransform):
    """Dictionary version of `LoadCT`: paths become volumes.

    Args:
        keys: entries that hold paths.
        allow_missing_keys: leave out absent entries.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadCT()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the mapping with volumes in place of paths."""
        return {**data, **{key: self.load(data[key]) for key in self.key_iterator(data)}}


class SaveCTd(MapTransform):
    """Write a prediction (1, slices, rows, columns) as a volume file of int16 HU with the affine of its own grid.

    The prediction may be on a finer grid than its source: the field of view stays (`VoxelGrid.super_resolved`).

    Args:
        keys: entry that holds the prediction.
        source_key: entry with the image as `LoadCT` gave it (its affine and file name are used).
        output_dir: folder of the files.
        ending: file type, for example `.nii.gz`.
    """

    def __init__(self, keys: KeysCollection, source_key: str, output_dir: str, ending: str) -> None:
        super().__init__(keys)
        self.source_key, self.output_dir, self.ending = source_key, Path(output_dir), ending

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the files and return the mapping unchanged."""
        source: MetaTensor = data[self.source_key]
        affine = lps_to_ras(np.asarray(source.affine, dtype=np.float64) @ _REVERSED)
        grid = CTVolume(np.zeros(tuple(source.shape[1:]), dtype=np.int16), affine).grid
        name = Path(str(source.meta["filename_or_obj"])).name
        stem = name[: -len(volume_ending(Path(name)))] if volume_ending(Path(name)) else name
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for key in self.key_iterator(data):
            hu = np.rint(np.asarray(data[key].detach().cpu(), dtype=np.float32)[0]).clip(-32768, 32767)
            scale = [large // small for large, small in zip(hu.shape, source.shape[1:], strict=True)]
            volume = CTVolume(hu.astype(np.int16), grid.super_resolved(scale).affine)
            write_volume_file(volume, self.output_dir / f"{stem}{self.ending}", overwrite=True)
        return dict(data)


def _read(path: Path) -> CTVolume:
    if path.is_file() and volume_ending(path):
        return read_volume_file(path)
    with find_inputs(path) as inputs:
        found = len(inputs.series) + len(inputs.volumes)
        if found != 1:
            raise InputError(str(path), f"holds {found} volumes", "give the folder or file of one series")
        return read_volume(inputs.series[0]) if inputs.series else read_volume_file(inputs.volumes[0].path)


def _thickness(volume: CTVolume) -> dict[str, float]:
    thickness = volume.provenance.get("thickness_mm")
    return {} if thickness is None else {"thickness_mm": float(thickness)}
