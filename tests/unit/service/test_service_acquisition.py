"""Facts of an acquisition, read from headers as they come."""

from __future__ import annotations

from pathlib import Path

import pytest
from phantoms import rotated, stack, write_series

from med_stylesr.inference.normal_dose import Acquisition
from med_stylesr.io.source import find_inputs
from med_stylesr.service.acquisition import acquisition_of


def read(folder: Path, **header: object) -> Acquisition:
    write_series(folder, stack(slices=3), **header)
    with find_inputs(folder) as inputs:
        return acquisition_of(inputs.series[0])


def test_kernel_thickness_pixels_and_voltage_come_from_the_headers(tmp_path: Path) -> None:
    told = {"Manufacturer": "SIEMENS", "ConvolutionKernel": ["Br40d", "3"], "SliceThickness": "2", "KVP": "100"}
    found = read(tmp_path / "series", **told)
    assert found == Acquisition("standard", 2.0, (2.0, 2.0), kvp=100.0, iterative=True)


@pytest.mark.parametrize(("degrees", "axial"), [(0, True), (25, True), (90, False)])
def test_coronal_reformats_are_not_axial_and_a_tilted_gantry_is(tmp_path: Path, degrees: float, axial: bool) -> None:
    write_series(tmp_path / "series", stack(slices=3, orientation=rotated(degrees, "x")))
    with find_inputs(tmp_path / "series") as inputs:
        assert acquisition_of(inputs.series[0]).axial is axial


@pytest.mark.parametrize("value", [None, ""])
def test_headers_that_tell_nothing_leave_facts_unknown(tmp_path: Path, value: str | None) -> None:
    keywords = ("Manufacturer", "ConvolutionKernel", "SliceThickness", "KVP")
    found = read(tmp_path / "series", **dict.fromkeys(keywords, value))
    assert (found.kernel_class, found.thickness_mm, found.kvp) == (None, None, None)


def test_the_sharp_and_the_soft_kernel_of_one_real_scan_are_told_apart(shared_data: Path) -> None:
    classes = []
    for name in ("kernelpair_A0001_soft_B", "kernelpair_A0001_sharp_L"):
        with find_inputs(shared_data / name) as inputs:
            classes.append(acquisition_of(inputs.series[0]).kernel_class)
    assert classes == ["standard", "sharp"]
