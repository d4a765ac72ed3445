"""Real series of five vendors: every one is read as another reader reads it, and its derived twin is conformant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from test_io_dicom_write import derivation, errors_of, mismatches

from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs


@pytest.fixture(scope="module")
def real_series(shared_data: Path) -> list[DicomSeries]:
    with find_inputs(shared_data) as inputs:
        assert inputs.skipped == []
        return inputs.series


def test_every_file_of_every_series_is_used_once(shared_data: Path, real_series: list[DicomSeries]) -> None:
    used = [f.path for s in real_series for f in s.files]
    assert len(real_series) == 30
    assert sorted(used) == sorted(p for p in shared_data.rglob("*") if p.is_file())


def test_hu_are_those_of_pydicom(real_series: list[DicomSeries]) -> None:
    for series in real_series:
        k = len(series) // 2
        dataset = pydicom.dcmread(series.files[k].path)
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.array_equal(read_slices(series, k, k + 1)[0], hu), series.name


def test_the_tilted_head_is_sheared_and_unevenly_spaced(real_series: list[DicomSeries]) -> None:
    (tilted,) = [s for s in real_series if s.grid.is_sheared]
    assert len(tilted) == 28
    assert tilted.slice_origins_mm is not None
    step = tilted.affine[:3, 2] / np.linalg.norm(tilted.affine[:3, 2])
    assert np.degrees(np.arccos(step @ tilted.grid.normal)) == pytest.approx(18.5, abs=0.05)


def test_positions_are_those_of_the_headers(real_series: list[DicomSeries]) -> None:
    for series in real_series:
        if series.slice_origins_mm is None:
            k = np.arange(len(series))
            there = series.grid.positions(np.stack([0 * k, 0 * k, k], axis=1))
            assert np.abs(there - series.origins_mm).max() < 0.01, series.name


@pytest.mark.slow
def test_derived_twins_of_all_real_series_pass_the_judges(tmp_path: Path, real_series: list[DicomSeries]) -> None:
    for number, series in enumerate(real_series):
        scale = (1, 1, 1) if series.slice_origins_mm is not None or number % 2 else (2, 1, 1)
        grid, origins = output_places(series, scale)
        folder = tmp_path / str(number)
        folder.mkdir()
        writer = DerivedSeriesWriter(series, grid, derivation(), folder, slice_origins_mm=origins)
        last = grid.shape[0] - 1
        for k in sorted({0, last // 2, last}):
            writer.write(k, np.zeros(grid.shape[1:], np.int16))
        assert errors_of(*writer.files) == []
        sources = [f.path for f in series.files]
        # Localizers that the sources refer to are not among the shared files.
        assert set(mismatches(*sources, *writer.files)) <= set(mismatches(*sources))
