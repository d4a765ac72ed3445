"""Multi-frame CT is read as the same volume as its single-frame twin."""

from __future__ import annotations

import random
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from phantoms import BODY, enhanced_dataset, rotated, stack, write_series
from pydicom.uid import JPEGLSLossless, RLELossless, generate_uid
from test_io_dicom_write import CREATED, errors_of

from med_stylesr.errors import UsageError
from med_stylesr.io.derivation import SMOOTHING, Derivation
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.source import find_inputs
from med_stylesr.volume import CTVolume

SPECS = {
    "axial": stack(6),
    "reversed": stack(6, step_mm=-3),
    "tilted": stack(6, orientation=rotated(18.5, "x"), step_mm=(0, 0, 3)),
    "oblique": stack(6, orientation=rotated(25, "y")),
}


def _volume(folder: Path) -> CTVolume:
    with find_inputs(folder) as inputs:
        (series,) = inputs.series
        return read_volume(series)


@pytest.mark.parametrize("name", SPECS)
def test_enhanced_ct_is_the_same_volume(tmp_path: Path, name: str) -> None:
    spec = SPECS[name]
    write_series(tmp_path / "single", spec, BODY)
    (tmp_path / "multi").mkdir()
    enhanced_dataset(spec, BODY).save_as(tmp_path / "multi" / "e.dcm", enforce_file_format=True)
    single, multi = _volume(tmp_path / "single"), _volume(tmp_path / "multi")
    assert np.array_equal(single.hu, multi.hu)
    assert np.allclose(single.affine, multi.affine)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda u: u.name)
@pytest.mark.parametrize("with_offsets", [True, False])
def test_compressed_frames_are_found_with_and_without_an_offset_table(
    tmp_path: Path, syntax: str, with_offsets: bool
) -> None:
    spec = SPECS["axial"]
    dataset = enhanced_dataset(spec, BODY)
    dataset.compress(syntax, generate_instance_uid=False)
    if not with_offsets:
        frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=6))
        dataset.PixelData = pydicom.encaps.encapsulate(frames, has_bot=False)
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    truth = np.stack([BODY.hu_at(spec.positions(k)) for k in range(6)])
    assert np.array_equal(_volume(tmp_path).hu, truth)


def test_a_legacy_converted_image_made_by_highdicom_is_the_same_volume(tmp_path: Path) -> None:
    files = write_series(tmp_path / "single", SPECS["oblique"], BODY, PatientOrientation=["L", "P"])
    datasets = [pydicom.dcmread(f) for f in files]
    random.Random(1).shuffle(datasets)
    converted = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        datasets,
        series_instance_uid=generate_uid(),
        series_number=5,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    (tmp_path / "multi").mkdir()
    converted.save_as(tmp_path / "multi" / "c.dcm")
    single, multi = _volume(tmp_path / "single"), _volume(tmp_path / "multi")
    assert np.array_equal(single.hu, multi.hu)
    assert np.allclose(single.affine, multi.affine)


def test_the_derived_series_names_the_frames_it_was_made_of(tmp_path: Path) -> None:
    enhanced_dataset(SPECS["axial"], BODY).save_as(tmp_path / "e.dcm", enforce_file_format=True)
    made = Derivation("Test", "med-stylesr", "0", (SMOOTHING,), CREATED, "derived", 1000, 1)
    (tmp_path / "out").mkdir()
    with find_inputs(tmp_path / "e.dcm") as inputs:
        (series,) = inputs.series
        grid, origins = output_places(series, (1, 1, 1))
        writer = DerivedSeriesWriter(series, grid, made, tmp_path / "out", slice_origins_mm=origins)
        for k in range(6):
            writer.write(k, np.zeros(grid.shape[1:], np.int16))
    out = [pydicom.dcmread(f) for f in writer.files]
    assert all(len(d.SourceImageSequence) == 1 for d in out)
    assert [list(np.atleast_1d(d.SourceImageSequence[0].ReferencedFrameNumber)) for d in out][2] == [2, 3, 4]
    assert len({d.SOPInstanceUID for d in out}) == 6
    assert errors_of(*writer.files[:1]) == []


@pytest.mark.parametrize("frames", [0, 5, 7, 10**9])
def test_a_wrong_number_of_frames_is_refused(tmp_path: Path, frames: int) -> None:
    dataset = enhanced_dataset(SPECS["axial"], BODY)
    dataset.NumberOfFrames = frames
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    with pytest.raises(UsageError, match="frames"):
        find_inputs(tmp_path)
