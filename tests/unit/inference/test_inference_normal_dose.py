"""Dose estimated from noise: what must hold whatever the table was learned from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from med_stylesr.errors import UsageError
from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_FAST, find_bundle
from med_stylesr.inference.normal_dose import (
    FILE,
    LEAST_DOSE,
    WATER_PER_MM,
    Acquisition,
    NormalDoseNoise,
)
from med_stylesr.inference.normal_dose_fit import Observation, learn, simulated_offset

CHEST = Acquisition("standard", 2.5, (0.7, 0.7), kvp=120.0, wed_mm=280.0)


def truth(known: Acquisition, size_share: float = 0.4) -> float:
    """Noise of a world in which the law holds: 12 HU for `CHEST`, 40 HU for a sharp kernel."""
    assert known.thickness_mm is not None
    assert known.wed_mm is not None
    kernel = {"soft": 8.0, "standard": 12.0, "sharp": 40.0}[str(known.kernel_class)]
    size = math.exp(0.5 * size_share * WATER_PER_MM * (known.wed_mm - 280))
    return kernel * math.sqrt(2.5 / known.thickness_mm) * size


def world(scatter: float = 0.0, scans: int = 60) -> list[Observation]:
    rng = np.random.default_rng(0)
    found = []
    for k in range(scans):
        kernel = ("standard", "sharp", "soft")[k % 3]
        wed, thickness = float(rng.uniform(200, 360)), float(rng.choice([1.25, 2.5, 5.0]))
        known = replace(CHEST, kernel_class=kernel, thickness_mm=thickness, wed_mm=wed)
        found.append(Observation(f"scan {k}", known, truth(known) * math.exp(rng.normal(0, scatter))))
    return found


@pytest.fixture(scope="module")
def table() -> NormalDoseNoise:
    return learn(world(), "0" * 64, "smooth")


@pytest.fixture(scope="module")
def shipped() -> NormalDoseNoise:
    found = NormalDoseNoise.of_bundle(find_bundle(BUNDLE_2D))
    assert found is not None
    return found


def expected(table: NormalDoseNoise, known: Acquisition) -> float:
    found = table.expected(known)
    assert found is not None
    return found.noise_hu


def test_twice_the_noise_is_a_quarter_of_the_dose(shipped: NormalDoseNoise) -> None:
    normal = expected(shipped, CHEST)
    assert shipped.dose_fraction(2 * normal, CHEST) == pytest.approx(0.25)
    first, second = (shipped.dose_fraction(factor * normal, CHEST) for factor in (1.5, 3.0))
    assert first == pytest.approx(4 * (second or 0))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_no_scan_has_more_than_normal_dose(shipped: NormalDoseNoise, share: float) -> None:
    assert shipped.dose_fraction(share * expected(shipped, CHEST), CHEST) == 1.0


def test_slices_four_times_as_thick_have_half_the_noise(shipped: NormalDoseNoise) -> None:
    thin, thick = (expected(shipped, replace(CHEST, thickness_mm=mm)) for mm in (1.25, 5.0))
    assert thin == pytest.approx(2 * thick)


def test_larger_bodies_and_sharper_kernels_have_more_noise(shipped: NormalDoseNoise) -> None:
    assert expected(shipped, replace(CHEST, wed_mm=330)) > expected(shipped, CHEST)
    assert expected(shipped, replace(CHEST, kernel_class="sharp")) > 2 * expected(shipped, CHEST)


def test_the_law_is_found_in_scans_that_follow_it(table: NormalDoseNoise) -> None:
    for kernel in ("soft", "standard", "sharp"):
        for wed, thickness in ((220.0, 5.0), (350.0, 1.25)):
            known = replace(CHEST, kernel_class=kernel, wed_mm=wed, thickness_mm=thickness)
            assert expected(table, known) == pytest.approx(truth(known), rel=0.05)


def test_the_spread_of_scans_is_found_and_told() -> None:
    scattered = learn(world(scatter=0.4, scans=200), "0" * 64, "smooth")
    assert scattered.classes["standard"].spread == pytest.approx(0.4, rel=0.15)
    assert scattered.learned_from["left_one_out"]["rms_log"] == pytest.approx(0.4, rel=0.15)


def test_one_scan_moves_a_kernel_half_way_and_many_move_it_all_the_way() -> None:
    """One sharp scan that is far too quiet; then thirty of them."""
    standard = [one for one in world(scatter=0.4) if one.acquisition.kernel_class == "standard"]
    quiet = Observation("quiet", replace(CHEST, kernel_class="sharp"), 12.0)
    one, many = (learn([*standard, *[quiet] * count], "0" * 64, "smooth") for count in (1, 30))
    by_name = expected(one, CHEST) * math.exp(simulated_offset("sharp"))
    assert 13 < expected(one, quiet.acquisition) < by_name
    assert expected(many, quiet.acquisition) == pytest.approx(12.0, rel=0.1)
    assert many.classes["sharp"].spread < one.classes["sharp"].spread


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"axial": False}, "not axial"),
        ({"kernel_class": None}, "kernel not known"),
        ({"kernel_class": "very sharp"}, "no scan with a very sharp kernel"),
        ({"thickness_mm": None}, "thickness not known"),
        ({"thickness_mm": 25.0}, "thickness of 25 mm is far"),
        ({"kvp": 70.0}, "70 kV is far"),
        ({"wed_mm": None}, "body not measurable"),
        ({"wed_mm": 100.0}, "body of 100 mm"),
    ],
)
def test_where_the_table_cannot_tell_it_says_so_and_why(
    table: NormalDoseNoise, change: dict[str, float | str | bool | None], why: str
) -> None:
    odd = replace(CHEST, **change)  # type: ignore[arg-type]
    assert table.expected(odd) is None
    assert table.dose_fraction(20.0, odd) is None
    assert table.likely_dose(20.0, odd) is None
    assert why in table.unknown(odd)


def body(diameter_mm: float, size: int = 320) -> np.ndarray:
    y, x = np.ogrid[-size / 2 : size / 2, -size / 2 : size / 2]
    return np.where((x**2 + y**2) * 0.7**2 <= (diameter_mm / 2) ** 2, 40.0, -1000.0)[None].astype(np.float32)


def test_an_estimate_measures_the_body_itself_and_tells_how_sure_it_is(table: NormalDoseNoise) -> None:
    slices = body(200)
    told = table.estimate(30.0, replace(CHEST, wed_mm=None), slices)
    assert told.wed_mm == pytest.approx(200 * math.sqrt(1.04), rel=0.02)
    assert told.expected_hu == pytest.approx(truth(replace(CHEST, wed_mm=told.wed_mm)), rel=0.05)
    found = table.likely_dose(30.0, replace(CHEST, wed_mm=told.wed_mm))
    assert found is not None
    assert (told.dose_fraction, told.dose_range) == (found[0], found[1:])
    assert found[1] < found[0] < found[2] <= 1
    assert told.note == ""
    assert told.facts()["kernel_class"] == "standard"


def likely(table: NormalDoseNoise, noise_share: float) -> tuple[float, float, float]:
    """For a scan with that multiple of normal dose's noise."""
    found = table.likely_dose(noise_share * expected(table, CHEST), CHEST)
    assert found is not None
    return found


def test_what_noise_says_and_what_is_assumed_are_weighed_by_how_sure_noise_is() -> None:
    tables = [learn(world(scatter=s, scans=300), "0" * 64, "smooth") for s in (0.02, 0.4, 1.5)]
    told = [likely(table, 2.0) for table in tables]
    assert told[0][0] == pytest.approx(0.25, rel=0.02)  # every scan keeps to the law
    assert told[2][0] == pytest.approx(math.sqrt(LEAST_DOSE), rel=0.1)  # scans know no law
    widths = [most / least for _, least, most in told]
    assert widths == sorted(widths)


def test_a_quieter_scan_never_seems_of_lower_dose_and_none_of_more_than_normal(shipped: NormalDoseNoise) -> None:
    doses = [likely(shipped, share) for share in np.geomspace(0.01, 100, 60)]
    for this, noisier in pairwise(doses):
        assert all(a >= b for a, b in zip(this, noisier, strict=True))
        assert LEAST_DOSE <= this[1] <= this[0] <= this[2] <= 1
    assert doses[0][0] < 1


@pytest.mark.parametrize("noise", [0.0, math.nan, math.inf])
def test_noise_that_is_no_number_tells_no_dose(shipped: NormalDoseNoise, noise: float) -> None:
    assert shipped.likely_dose(noise, CHEST) is None


def test_likely_doses_of_many_scans_are_right_on_average_and_as_sure_as_they_say() -> None:
    table, rng = learn(world(scatter=0.35, scans=600), "0" * 64, "smooth"), np.random.default_rng(1)
    errors, alone, within = [], [], 0
    for dose in np.exp(rng.uniform(math.log(LEAST_DOSE), 0, 600)):
        share = math.exp(rng.normal(0, 0.35)) / math.sqrt(dose)
        found, by_noise = likely(table, share), table.dose_fraction(share * expected(table, CHEST), CHEST)
        assert by_noise is not None
        errors.append(math.log(found[0] / dose))
        alone.append(math.log(by_noise / dose))
        within += found[1] <= dose <= found[2]
    assert np.mean(np.square(errors)) < 0.9 * np.mean(np.square(alone))
    assert abs(np.mean(errors)) < 0.06
    assert within / 600 == pytest.approx(0.68, abs=0.06)


def test_an_estimate_without_headers_or_of_a_body_cut_off_all_around_is_none(table: NormalDoseNoise) -> None:
    assert table.estimate(30.0, None, body(200)).dose_fraction is None
    inside = table.estimate(30.0, CHEST, body(2000))
    assert inside.dose_fraction is None
    assert inside.note == "body not measurable"
    assert inside.facts()["dose_range"] is None


def test_iterative_reconstruction_is_named_as_a_reason_for_doubt(table: NormalDoseNoise) -> None:
    assert "iterative" in table.estimate(30.0, replace(CHEST, iterative=True), body(200)).note


def test_a_table_comes_back_from_its_file_as_it_was(table: NormalDoseNoise, tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    table.save(tmp_path / FILE)
    again = NormalDoseNoise.of_bundle(tmp_path)
    assert again == table


def test_a_bundle_without_a_table_has_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert NormalDoseNoise.of_bundle(tmp_path) is None
    for damage in ("", "[]", "{}", '{"classes": {"soft": {"offset": 1}}}'):
        (tmp_path / "table.json").write_text(damage)
        with pytest.raises(UsageError, match="no table of normal-dose noise"):
            NormalDoseNoise.load(tmp_path / "table.json")


def test_learning_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no scan"):
        learn([Observation("unknown", replace(CHEST, kernel_class=None), 10.0)], "0" * 64, "smooth")


@pytest.mark.parametrize("bundle", [BUNDLE_2D, BUNDLE_FAST])
def test_the_shipped_table_was_learned_with_the_shipped_weights(bundle: str) -> None:
    weights, table = find_bundle(bundle) / "models" / "model.pt", NormalDoseNoise.of_bundle(find_bundle(bundle))
    assert table is not None
    assert table.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest(), (
        f"{bundle} has changed since: run `python tools/learn_normal_dose_noise.py SCANS --bundle {bundle}`"
    )
