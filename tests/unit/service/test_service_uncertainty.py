"""Uncertainty beside the result: a series of its own that says what it is, and a volume file; --safe is on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from phantoms import BODY, stack, write_series

from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.service.uncertainty_output import uncertainty_file
from med_stylesr.volume import CTVolume

ASKED = {"strength": 1.0, "uncertainty": True, "safe": True}


def test_a_series_gets_a_second_one_in_fine_steps_of_hu_on_the_same_places(tmp_path: Path, enhance: Any) -> None:
    write_series(tmp_path / "in", stack(2, shape=(48, 48)), BODY)
    run = enhance(tmp_path / "in", tmp_path / "out", **ASKED)
    result, doubt = run.outputs
    first, second = (pydicom.dcmread(next(iter(sorted(folder.glob("*.dcm"))))) for folder in (result, doubt))
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.StudyInstanceUID == first.StudyInstanceUID
    assert second.SeriesNumber > first.SeriesNumber
    assert "uncertainty" in second.SeriesDescription
    assert "uncertainty" in second.DerivationDescription.lower()
    assert list(second.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "UNCERTAINTY"]
    assert (second.RescaleSlope, second.RescaleType) == (0.1, "HU")
    assert second.ImagePositionPatient == first.ImagePositionPatient
    with find_inputs(doubt) as inputs:
        spread = read_volume(inputs.series[0]).hu
    assert spread.min() >= 0
    assert spread.max() < 200
    facts = run.entries("done")[0]["facts"]["uncertainty"]
    assert facts["views"] == 4
    assert 0 <= facts["safe"]["given_back"] <= 1
    assert "safe yes" in first.DerivationDescription


def test_a_volume_gets_a_file_of_float_hu_beside_it(tmp_path: Path, enhance: Any) -> None:
    hu = np.random.default_rng(0).normal(40, 30, (2, 48, 48)).astype(np.int16)
    (tmp_path / "in").mkdir()
    write_volume_file(CTVolume(hu, np.diag([0.8, 0.8, 2.5, 1.0])), tmp_path / "in" / "a.nii.gz")
    run = enhance(tmp_path / "in", tmp_path / "out", **ASKED)
    result, doubt = run.outputs
    assert doubt.name == "a_uncertainty.nii.gz"
    told = read_volume_file(doubt)
    assert told.hu.dtype == np.float32
    assert told.hu.shape == hu.shape
    np.testing.assert_allclose(told.affine, read_volume_file(result).affine)


def test_name_of_the_uncertainty_keeps_the_ending() -> None:
    assert uncertainty_file(Path("x/a.b.nrrd")) == Path("x/a.b_uncertainty.nrrd")
