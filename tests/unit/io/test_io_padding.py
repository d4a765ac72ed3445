"""Padding stays padding, also where 16 bits cannot hold its HU; what rounding and saturation change is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_judges import errors_of, series_of
from phantoms import BODY, stack, write_series
from pydicom.dataset import Dataset
from test_io_dicom_write import derivation

from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.padding import FAR_PADDING_HU, far_padding_moved, padding_hu
from med_stylesr.io.series import DicomSeries


def header(**values: Any) -> Dataset:
    dataset = Dataset()
    dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 0, "1", "-1024"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def written(series: DicomSeries, folder: Path, hu: np.ndarray) -> DerivedSeriesWriter:
    folder.mkdir()
    grid, origins = output_places(series, (1, 1, 1))
    writer = DerivedSeriesWriter(series, grid, derivation(), folder, slice_origins_mm=origins)
    for k, plane in enumerate(hu):
        writer.write(k, plane)
    return writer


@pytest.mark.parametrize("limit", [None, 65000])
def test_padding_that_16_bits_cannot_hold_stays_padding(tmp_path: Path, limit: int | None) -> None:
    declared = {"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": limit}
    write_series(tmp_path / "src", stack(2, signed=False, padding=65535, header=declared), BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    assert hu.dtype == np.int16
    assert (hu[:, 0, 0] == FAR_PADDING_HU).all()
    assert np.sort(np.unique(hu))[1] >= -1000
    writer = written(series, tmp_path / "out", hu)
    out = series_of(tmp_path / "out")
    assert {padding_hu(one) for one in out.headers} == {(FAR_PADDING_HU, FAR_PADDING_HU)}
    assert np.array_equal(read_volume(out).hu, hu)
    assert writer.warnings == ()
    assert errors_of(*writer.files) == []


def test_padding_with_a_fraction_is_declared_as_it_is_stored(tmp_path: Path) -> None:
    declared = {"PixelPaddingValue": -4001}
    write_series(tmp_path / "src", stack(1, slope=0.5, padding=-4001, header=declared), BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    assert hu[0, 0, 0] == -3024.5
    writer = written(series, tmp_path / "out", hu)
    out = series_of(tmp_path / "out")
    assert read_volume(out).hu[0, 0, 0] == -3024
    assert padding_hu(out.headers[0]) == (-3024, -3024)
    (warning,) = writer.warnings
    assert "no whole numbers" in warning


def test_other_values_that_16_bits_cannot_hold_are_told(tmp_path: Path) -> None:
    write_series(tmp_path / "src", stack(1, signed=False, padding=65535), BODY)
    series = series_of(tmp_path / "src")
    hu = read_volume(series).hu
    assert hu.max() == 64511
    writer = written(series, tmp_path / "out", hu)
    assert read_volume(series_of(tmp_path / "out")).hu.max() == 32767
    (warning,) = writer.warnings
    assert "32767" in warning


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"PixelPaddingValue": 0}, None),
        ({"PixelPaddingValue": 4096}, (3072, 3072)),
        ({"PixelPaddingValue": 65535}, (FAR_PADDING_HU, FAR_PADDING_HU)),
        ({"PixelPaddingValue": 30000, "PixelPaddingRangeLimit": 65535}, (FAR_PADDING_HU, FAR_PADDING_HU)),
        ({"PixelPaddingValue": 3000, "PixelPaddingRangeLimit": 65535}, None),
        ({"PixelPaddingValue": 0, "RescaleIntercept": "-8192"}, (-8192, -8192)),
        ({"PixelPaddingValue": 1, "RescaleIntercept": "-1025.4"}, None),
    ],
)
def test_what_counts_as_padding(values: dict[str, Any], expected: tuple[int, int] | None) -> None:
    assert padding_hu(header(**values)) == expected


def test_a_range_that_reaches_beyond_16_bits_is_moved_as_a_whole() -> None:
    hu = np.array([[-1000, 40, 28976, 64511.0]], np.float32)
    moved = far_padding_moved(hu, header(PixelPaddingValue=30000, PixelPaddingRangeLimit=65535))
    assert moved.tolist() == [[-1000, 40, FAR_PADDING_HU, FAR_PADDING_HU]]
    assert moved.dtype == np.int16
    metal = np.array([[64510.0, 64511.0]], np.float32)
    assert far_padding_moved(metal, header(PixelPaddingValue=65535)).tolist() == [[64510, FAR_PADDING_HU]]
    assert far_padding_moved(metal, header()) is metal
