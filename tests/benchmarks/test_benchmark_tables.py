"""The tables say what they claim: tuning sees the tuning set alone, numbers and targets are what was measured."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import hu_bias, pooling, targets, tuning
from benchmarks.measure import measure
from benchmarks.methods import Method, partly
from benchmarks.page import Numbers, page
from benchmarks.peers.classical import Filter
from benchmarks.recipes import BUDGET_MINUTES, RECIPES
from benchmarks.scans import BenchmarkScan, cut, middle
from benchmarks.store import Store
from benchmarks.tables import table
from benchmarks.training import learning_rate

from med_stylesr.engines.pair_cache import STORED_PER_HU, CachedScan

HERE = Path(__file__).parent


def scan(name: str = "a", slices: int = 5, noise_hu: float = 20.0) -> BenchmarkScan:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :96]
    body = np.where((y - 48) ** 2 + (x - 48) ** 2 < 44**2, 40.0, -1000.0)
    normal = np.repeat(body[None], slices, 0) + 2 * rng.standard_normal((slices, 96, 96))
    noise = noise_hu * rng.standard_normal(normal.shape)
    kept = tuple(range(slices)) if slices < 5 else tuple(range(1, slices - 1))
    return BenchmarkScan(name, normal.astype(np.float32), noise.astype(np.float32), 0.25, (2.0, 1.0, 1.0), kept)


def plan(name: str) -> list[dict[str, Any]]:
    return list(json.loads((HERE / name).read_text())["scans"])


def chosen(name: str) -> set[tuple[str, int]]:
    """(folder, slice or number of the single) of a data list."""
    found = set()
    for entry in plan(name):
        if "offset" in entry:
            numbers = range(21)[entry["offset"] :: entry["every"]][: entry.get("limit")]
        else:
            numbers = range(*entry.get("slices", (0, 1000)))
        found |= {(entry["folder"], number) for number in numbers}
    return found


def test_train_tuning_and_test_slices_are_disjoint() -> None:
    weights = "../../configs/weights/data_train.json"
    sets = [chosen("data_test.json"), chosen("data_tune.json"), chosen(weights)]
    for i, a in enumerate(sets):
        for b in sets[i + 1 :]:
            assert not a & b


def test_tuning_reads_the_tuning_scans_alone_and_finds_the_best(tmp_path: Path) -> None:
    read: list[str] = []

    class Watched(BenchmarkScan):
        def low_dose(self, dose: float, sign: int = 1) -> np.ndarray:
            read.append(self.name)
            return super().low_dose(dose, sign)

    original = scan("tuning", slices=1)
    watched = Watched(**vars(original))
    # Shrinks the noise towards a known image: the best share is the one that the mean-square error prefers.
    family = Filter(lambda plane, noise, share: plane * share, (0.25, 1.0, 4.0), "factor")
    best = tuning.tune([watched], 0.25, Store(tmp_path), {"scaled": family})
    assert best == {"scaled": 1.0}
    assert set(read) <= {"tuning"}
    assert "test" not in Path(tuning.__file__).read_text().split('"""', 2)[2]


def test_lower_dose_has_more_noise_by_the_law_and_either_sign_is_as_strong() -> None:
    one = scan()
    body = one.normal > -500
    levels = {d: (one.low_dose(d) - one.normal)[body].std() for d in (0.5, 0.25, 0.1)}
    assert levels[0.25] / levels[0.5] == pytest.approx(math.sqrt(3), rel=1e-3)
    assert levels[0.1] / levels[0.25] == pytest.approx(math.sqrt(3), rel=1e-3)
    both = one.low_dose(0.25) + one.low_dose(0.25, -1)
    np.testing.assert_allclose(both[body], 2 * one.normal[body], atol=1e-2)
    assert one.low_dose(0.01).min() == -1024


def test_middle_slices_have_neighbours_and_noise_is_unpacked() -> None:
    taken, wanted = middle(30)
    assert (taken.stop - taken.start, wanted) == (5, (1, 2, 3))
    assert middle(1) == (slice(0, 1), (0,))
    cached = CachedScan(
        "a", np.array([[[-3024, 40]]], np.int16), np.full((1, 1, 1, 2), 8, np.int16), (0.25,), (1.0, 1.0, 1.0)
    )
    one = cut(cached, *middle(1))
    assert one.normal.tolist() == [[[-1024, 40]]]
    # Padding is no measurement, so that no dose changes it.
    assert one.noise.tolist() == [[[0, 8 / STORED_PER_HU]]]


def test_a_perfect_result_scores_as_one() -> None:
    one = scan()
    low = one.low_dose(0.25)[list(one.wanted)]
    records = {"a": measure(low, one.target, one.target, one.spacing_mm)}
    assert pooling.fidelity(records, "redcnn", "rmse_hu") == {"a": 0.0}
    assert all(v == pytest.approx((1, 1, 1)) for v in pooling.band_ratios(records).values())
    assert pooling.frequency_shift(records, "peak_per_mm") == 0
    assert pooling.mean(pooling.radiomic_concordance(records)) == pytest.approx(1)


def test_noise_power_and_shift_are_those_that_were_put_in() -> None:
    one = scan(noise_hu=4.0)
    rng = np.random.default_rng(7)
    twice = one.target + np.sqrt(3.0) * 2 * rng.standard_normal(one.target.shape).astype(np.float32) + 5
    records = {"a": measure(one.target, twice.astype(np.float32), one.target, one.spacing_mm)}
    for ratio, _, _ in pooling.band_ratios(records).values():
        assert ratio == pytest.approx(4.0, rel=0.35)
    assert pooling.tissue_shift(records)["soft tissue"][0] == pytest.approx(5.0, abs=0.2)


def test_shift_is_weighted_by_voxels_and_the_worst_scan_is_told() -> None:
    records = {"a": {"shift_hu": {"fat": [3000, 1.0]}}, "b": {"shift_hu": {"fat": [1000, -3.0], "bone": [10, 90.0]}}}
    assert pooling.tissue_shift(records) == {"fat": (0.0, -3.0)}


def test_bias_is_what_a_method_adds_and_not_what_noise_does() -> None:
    one = scan()
    method = Method("smooth", "m", "ours", "m", lambda low, s: low[list(s.wanted)] + 3)
    for _, hu in hu_bias.bias(method, one, 0.25).values():
        assert hu == pytest.approx(3.0, abs=1e-3)


def test_half_kept_gives_back_its_share() -> None:
    one = scan()
    zero = Method("f", "f", "classical", "f", lambda low, s: 0 * low[list(s.wanted)])
    low = one.low_dose(0.25)
    np.testing.assert_allclose(partly(zero).run(low, one), 0.25 * low[list(one.wanted)])


def records(psnr: float, noise: float, shift: float, structure: float) -> pooling.Records:
    figures = {"psnr_db": psnr, "ssim": 0.9, "rmse_hu": 10.0}
    from med_stylesr.metrics.fidelity import CONVENTIONS
    from med_stylesr.metrics.texture import BANDS_PER_MM

    spectrum = {
        "regions": 4,
        "bands": {band: [noise, 1.0] for band in BANDS_PER_MM},
        "peak_per_mm": [0.2, 0.2],
        "mean_per_mm": [0.3, 0.3],
    }
    patches = [[float(i) + shift, float(i)] for i in range(9)]
    return {
        "a": {
            "fidelity": dict.fromkeys(CONVENTIONS, figures),
            "shift_hu": {"fat": [5000, shift]},
            "spectrum": spectrum,
            "f50": [0.4, 0.4],
            "structure": structure,
            "radiomics": {"intensity_mean": patches},
        }
    }


def rows(*names: str) -> list[Method]:
    kinds = {"input": "input", "nlm": "classical", "red-cnn": "peer"}
    return [Method(n, n, kinds.get(n, "ours"), n, lambda low, s: low) for n in names]


def test_targets_are_met_and_missed_by_the_numbers() -> None:
    good = {
        "input": records(25, 4, 0, 0),
        "nlm": records(30, 0.2, 0.9, 0.3),
        "red-cnn": records(31, 0.2, 1.5, 0.2),
        "smooth": records(31.2, 0.2, 0.1, 0.1),
        "normal-dose": records(30.5, 1.1, 0.1, 0.05),
    }
    methods = rows(*good)
    assert all(check.met for check in targets.denoising(methods, good))
    bad = good | {"smooth": records(30.5, 0.2, 2.0, 0.1), "normal-dose": records(29, 0.5, -3.0, 0.9)}
    missed = [check for check in targets.denoising(methods, bad) if not check.met]
    assert len(missed) == len(targets.denoising(methods, bad)) - 1  # The peak is where it was.
    assert "+0.50 dB (a)" in missed[0].found


def test_kernel_targets_ask_for_half_and_say_when_the_style_is_missing() -> None:
    with_style = {"L → B": {"nothing": 30.0, "Gaussian, 1 px": 12.0, "`soft`": 10.0}}
    assert [c.met for c in targets.kernels(with_style)] == [True, False]
    without = {"B → L": {"nothing": 30.0, "unsharp mask": 25.0}}
    assert not any(c.met for c in targets.kernels(without))
    assert "no such style" in targets.kernels(without)[0].found


def test_strength_target_knows_the_root() -> None:
    exact = {"a": {"dose": {"0.25": 0.5, "0.5": math.sqrt(0.5), "0.1": None}}}
    assert targets.strength(exact)[0].met
    assert not targets.strength({"a": {"dose": {"0.25": 0.25}}})[0].met


def test_page_holds_every_method_scan_and_missed_target() -> None:
    measured = {name: records(30, 1, 0.2, 0.1) for name in ("input", "nlm", "smooth")}
    numbers = Numbers(rows(*measured), measured, checks=[targets.Check("gain", "+0.1 dB", False)])
    numbers.costs = {n: {"seconds": s, "megabytes": 30.0} for n, s in (("nlm", 2.0), ("ours", 0.5))}
    numbers.sizes = {"ours": {"parameters": 1000, "gmac": 12.8}}
    numbers.strength = {"a": {"dose": {"0.25": 0.5}, "strength": {}}}
    text = page(numbers, "../images")
    assert "| gain | +0.1 dB | **no** |" in text
    assert "| nlm | 4.0 |" in text
    assert "| a | 0.50 |" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_tables_have_as_many_cells_in_every_row() -> None:
    lines = table(["a", "b"], [["1", "2"], ["3", "4"]]).splitlines()
    assert {line.count("|") for line in lines} == {3}


def test_store_makes_a_value_once(tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []
    for _ in range(2):
        assert store.record("t", "key", lambda: calls.append(1) or {"x": 1}) == {"x": 1}
        assert store.array("t", "key", lambda: calls.append(1) or np.ones(3)).sum() == 3
    assert len(calls) == 2
    store.record("t", "other key", lambda: calls.append(1))
    assert len(calls) == 3


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(1.0, s) for s in np.linspace(0, 1, 200)]
    assert max(rates) > 0.95
    assert rates[0] < 0.1
    assert rates[-1] < 0.02
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_all_networks_of_the_comparison_have_one_budget() -> None:
    compared = [r for name, r in RECIPES.items() if not name.startswith("ablation")]
    assert {r.minutes for r in compared} == {BUDGET_MINUTES}
    assert len({r.minutes for name, r in RECIPES.items() if name.startswith("ablation")}) == 1


def test_eight_bits_are_judged_by_the_worst_scan_and_the_mean_loss() -> None:
    good = {"mean_hu": 1.0, "bias_hu": -0.1, "p999_hu": 5.0, "max_hu": 9.0, "psnr_db": -0.1}
    table = {"a": good, "b": good | {"psnr_db": 0.02}}
    assert [check.met for check in targets.eight_bits(table)] == [True, True, True]
    worse = table | {"c": good | {"mean_hu": 1.6, "bias_hu": -0.6, "psnr_db": -0.2}}
    assert [check.met for check in targets.eight_bits(worse)] == [False, False, False]
    assert targets.eight_bits({}) == []
