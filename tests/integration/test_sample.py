"""The sample scan that ships: what its attribution says is true of the files, and the shipped weights help on it."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.strength import StrengthRequest
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.bias import tissue_shift
from med_stylesr.service.demo import sample_root
from med_stylesr.volume import CTVolume


def volume(name: str) -> CTVolume:
    with find_inputs(sample_root() / name) as inputs:
        (series,) = inputs.series
        assert not series.warnings
        return read_volume(series)


def test_both_series_are_whole_small_lossless_and_on_one_grid() -> None:
    low, normal = volume("quarter_dose"), volume("normal_dose")
    assert low.hu.shape == normal.hu.shape == (16, 512, 512)
    np.testing.assert_allclose(low.affine, normal.affine, atol=1e-4)
    files = list(sample_root().rglob("*.dcm"))
    assert sum(f.stat().st_size for f in files) <= 6_000_000
    assert all(pydicom.dcmread(f, stop_before_pixels=True).file_meta.TransferSyntaxUID == JPEGLSLossless for f in files)
    assert (sample_root() / "ATTRIBUTION.md").is_file()


def test_only_noise_was_added_and_no_tissue_moved() -> None:
    low, normal = volume("quarter_dose"), volume("normal_dose")
    padding = normal.hu < -1024
    assert (low.hu[padding] == normal.hu[padding]).all()
    shifts = tissue_shift(normal.hu, low.hu, normal.spacing_mm, reference=normal.hu)
    assert all(abs(s.shift_hu) < 1 for name, s in shifts.items() if name in ("air", "lung", "fat", "soft tissue"))


@pytest.mark.slow
def test_shipped_weights_come_closer_to_normal_dose_and_keep_hu() -> None:
    low, normal = volume("quarter_dose"), volume("normal_dose")
    few = low.with_hu(low.hu[6:10].copy())
    target = normal.hu[6:10].astype(np.float64)
    result, enhancement = Enhancer(device="cpu").enhance(
        few, EnhanceOptions(request=StrengthRequest(dose_fraction=0.25))
    )
    window = (np.clip(v.astype(np.float64), -160, 240) for v in (few.hu, result.hu, target))
    before, after, truth = window
    assert ((after - truth) ** 2).mean() < 0.8 * ((before - truth) ** 2).mean()
    shifts = tissue_shift(few.hu, result.hu, few.spacing_mm, reference=normal.hu[6:10])
    assert all(abs(s.shift_hu) < 1 for s in shifts.values()), shifts
    assert enhancement.plan.noise_after_hu == pytest.approx(0.5 * (enhancement.plan.noise_before_hu or 0), rel=0.2)


@pytest.mark.slow
def test_safe_keeps_hu_and_lies_between_input_and_result() -> None:
    low, normal = volume("quarter_dose"), volume("normal_dose")
    few = low.with_hu(low.hu[7:9].copy())
    enhancer, request = Enhancer(device="cpu"), StrengthRequest(strength=1.0)
    plain, _ = enhancer.enhance(few, EnhanceOptions(request=request))
    safe, done = enhancer.enhance(few, EnhanceOptions(request=request, safe=True))
    shifts = tissue_shift(few.hu, safe.hu, few.spacing_mm, reference=normal.hu[7:9])
    assert all(abs(s.shift_hu) < 1 for s in shifts.values()), shifts
    between = np.sort([few.hu, plain.hu], axis=0)
    assert ((safe.hu >= between[0]) & (safe.hu <= between[1])).all()
    assert 0 < done.facts()["uncertainty"]["safe"]["given_back"] < 0.2
