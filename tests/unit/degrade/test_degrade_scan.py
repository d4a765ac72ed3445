"""A whole scan degraded: what the plan refuses, what stays, what is recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from med_stylesr.degrade.calibration import USUAL_MODULATION, calibrate
from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.degrade.scan import DegradationPlan, degrade_scan
from med_stylesr.errors import InputError, UsageError
from med_stylesr.volume import CTVolume

CPU = torch.device("cpu")


def plan(**changed: Any) -> DegradationPlan:
    arguments: dict[str, Any] = {
        "dose_fraction": 0.25,
        "thickness_mm": None,
        "step_mm": None,
        "profile": "rectangular",
        "pixel_mm": None,
        "psf_fwhm_mm": None,
        "seed": 1,
        "scanner": "siemens-definition",
        "i0_photons": None,
        "kernel": "auto",
        "electronic_sd": 3.0,
        "tube_current_modulation": 0.0,
    }
    return DegradationPlan(**{**arguments, **changed})


@pytest.fixture(scope="module")
def scan(simulator: LowDoseSimulator, disc: Callable[..., Tensor]) -> CTVolume:
    water = disc(65.0, hu=40.0).expand(4, -1, -1)
    hu = water + simulator.scan_noise(water, (2.0, 1.2, 1.2), Calibration(2e5, KERNELS["soft"]), seed=1)
    hu = hu.clamp_min(-1024)
    hu[:, :6] = -3024.0
    return CTVolume(hu.numpy(), np.diag([1.2, 1.2, 2.0, 1.0]))


def run(volume: CTVolume, wanted: DegradationPlan, thickness_mm: float | None = None) -> Any:
    return degrade_scan(volume, thickness_mm, wanted, CPU, "phantom", lambda done, total: None)


def test_quarter_dose_doubles_the_noise_and_says_so(scan: CTVolume) -> None:
    result = run(scan, plan())
    facts = result.facts
    assert math.isclose(facts["noise_sd_after_hu"], 2 * facts["noise_sd_before_hu"], rel_tol=0.08)
    assert facts["dose_fraction"] == 0.25
    assert facts["i0_photons"] > 0
    assert facts["seed"] == 1
    json.dumps(facts)


@pytest.mark.parametrize(
    ("changed", "used"),
    [
        ({"tube_current_modulation": 0.3}, 0.3),
        ({"tube_current_modulation": 0.3, "i0_photons": 2e5, "kernel": "soft"}, 0.3),
        ({"tube_current_modulation": None, "i0_photons": 2e5, "kernel": "soft"}, USUAL_MODULATION),
    ],
)
def test_the_record_tells_how_the_tube_current_followed_the_body(
    scan: CTVolume, changed: dict[str, Any], used: float
) -> None:
    assert run(scan, plan(**changed)).facts["tube_current_modulation"] == used


def test_modulation_left_out_is_taken_from_the_scan(scan: CTVolume) -> None:
    hu = torch.from_numpy(scan.hu).clamp_min(-1024)
    simulator = LowDoseSimulator(SCANNERS["siemens-definition"], DetectorModel(electronic_sd=3.0))
    fitted = calibrate(simulator, hu, (2.0, 1.2, 1.2)).tube_current_modulation
    found = run(scan, plan(tube_current_modulation=None)).facts["tube_current_modulation"]
    assert found == pytest.approx(fitted, abs=0.05)


def test_padding_stays_and_no_tissue_becomes_padding(scan: CTVolume) -> None:
    result = run(scan, plan(dose_fraction=0.05, i0_photons=1e5, kernel="soft")).volume.hu
    assert (result[:, :6] == -3024.0).all()
    assert result[:, 6:].min() >= -1024


def test_seed_decides_the_noise(scan: CTVolume) -> None:
    same = [run(scan, plan(seed=s, i0_photons=1e5, kernel="soft")).volume.hu for s in (5, 5, 6)]
    np.testing.assert_array_equal(same[0], same[1])
    assert np.abs(same[0] - same[2]).max() > 1


def test_resolution_alone_gives_plain_slice_means_on_the_new_grid(scan: CTVolume) -> None:
    result = run(scan, plan(dose_fraction=1.0, thickness_mm=4.0, step_mm=4.0))
    expected = np.asarray(scan.hu).reshape(2, 2, 128, 128).mean(1)
    np.testing.assert_allclose(result.volume.hu[:, 8:], expected[:, 8:], atol=1e-3)
    assert result.sources == [[0, 1], [2, 3]]
    assert result.volume.spacing_mm == pytest.approx((4.0, 1.2, 1.2))
    assert result.volume.affine[2, 3] == pytest.approx(1.0)


def test_thick_slices_average_the_noise_too(scan: CTVolume) -> None:
    thin, thick = (run(scan, plan(i0_photons=1e5, kernel="soft", **more)) for more in ({}, {"thickness_mm": 8.0}))
    middle = slice(48, 80)
    inserted = thin.volume.hu - scan.hu
    clean = np.asarray(scan.hu).reshape(1, 4, 128, 128).mean(1)
    ratio = (thick.volume.hu - clean)[:, middle, middle].std() / inserted[:, middle, middle].std()
    assert math.isclose(ratio, 0.5, rel_tol=0.08)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dose_fraction": 0.0},
        {"dose_fraction": 1.2},
        {"dose_fraction": 1.0},
        {"thickness_mm": -1.0},
        {"step_mm": 2.0},
        {"thickness_mm": 2.0, "step_mm": 5.0},
        {"pixel_mm": float("nan")},
        {"seed": -1},
        {"scanner": "none"},
        {"kernel": "none"},
        {"i0_photons": 1e5},
        {"electronic_sd": -1.0},
        {"tube_current_modulation": 2.0},
    ],
)
def test_plans_that_no_scan_can_be_degraded_with_are_usage_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan(**wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seed": -1}, "--seed -1: is negative"),
        ({"electronic_sd": -1.0}, "--electronic-noise -1: is no number of photons"),
    ],
)
def test_each_wrong_number_is_told_by_its_own_reason(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan(**wrong)


@pytest.mark.parametrize(
    ("affine", "wanted", "reason"),
    [
        (np.diag([1.2, 1.0, 2.0, 1.0]), plan(), "square"),
        (np.diag([1.2, 1.2, 2.0, 1.0])[[0, 2, 1, 3]], plan(), "axial"),
        (np.diag([1.2, 1.2, 2.0, 1.0]), plan(thickness_mm=1.0), "cannot be made"),
        (np.diag([1.2, 1.2, 2.0, 1.0]), plan(dose_fraction=1.0, thickness_mm=50.0), "do not hold"),
        (np.diag([1.2, 1.2, 2.0, 1.0]), plan(dose_fraction=1.0, pixel_mm=0.5), "small"),
        (np.array([[1.2, 0, 0, 0], [0, 1.2, 1, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]), plan(thickness_mm=4.0), "tilted"),
    ],
)
def test_scans_that_cannot_be_degraded_are_refused_with_the_reason(
    scan: CTVolume, affine: np.ndarray[Any, Any], wanted: DegradationPlan, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        run(CTVolume(scan.hu, affine), wanted)


def test_a_scan_without_flat_tissue_asks_for_photons() -> None:
    air = CTVolume(np.full((2, 64, 64), -1000, dtype=np.int16), np.eye(4))
    with pytest.raises(InputError, match="--i0"):
        run(air, plan())
    assert np.isfinite(run(air, plan(i0_photons=1e5, kernel="soft")).volume.hu).all()
