"""Facts of an acquisition, read from headers as they come."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import Ball, Scene, rotated, stack, write_series
from pydicom.dataset import Dataset

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


def add_noise(dataset: Dataset, k: int) -> None:
    stored = np.frombuffer(dataset.PixelData, np.int16)
    dataset.PixelData = (
        (stored + np.random.default_rng(k).normal(0, 40, stored.shape).round()).astype(np.int16).tobytes()
    )


@pytest.mark.parametrize(
    ("kernel", "basis"), [("STANDARD", "estimated from the noise"), ("unheard of", "estimated by the network")]
)
def test_a_scan_is_denoised_by_the_dose_that_its_headers_and_its_noise_tell(
    tmp_path: Path, enhance: Any, kernel: str, basis: str
) -> None:
    """A water ball of 250 mm whose 40 HU of noise no normal dose has."""
    spec = stack(slices=2, step_mm=2.5, spacing_mm=(2.2, 2.2), shape=(128, 128), per_slice=add_noise)
    scene = Scene((Ball((0, 0, 0), 125, 30),), background_hu=-1000)
    headers = {"Manufacturer": "GE MEDICAL SYSTEMS", "ConvolutionKernel": kernel, "SliceThickness": "2.5"}
    write_series(tmp_path / "in" / "series", spec, scene, **headers)
    [entry] = enhance(tmp_path / "in", tmp_path / "out", strength=None).entries("done")
    facts = entry["facts"]
    assert facts["basis"] == basis
    estimate = facts["dose_estimate"]
    assert estimate["wed_mm"] == pytest.approx(250 * math.sqrt(1.03), rel=0.03)
    if kernel == "STANDARD":
        assert facts["dose_fraction"] == pytest.approx(estimate["dose_fraction"], rel=1e-3)
        assert facts["noise_after_hu"] == pytest.approx(
            facts["noise_before_hu"] * math.sqrt(facts["dose_fraction"]), rel=0.05
        )
    else:
        assert estimate["note"] == "reconstruction kernel not known"


def test_the_sharp_and_the_soft_kernel_of_one_real_scan_are_told_apart(shared_data: Path) -> None:
    classes = []
    for name in ("kernelpair_A0001_soft_B", "kernelpair_A0001_sharp_L"):
        with find_inputs(shared_data / name) as inputs:
            classes.append(acquisition_of(inputs.series[0]).kernel_class)
    assert classes == ["standard", "sharp"]
