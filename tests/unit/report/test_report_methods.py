"""Methods side by side: over scans when there are enough, paired by name, and the family of tests adjusted by Holm."""

import numpy as np
import pytest
from scipy import stats

from med_stylesr.report.against_reference import Case
from med_stylesr.report.methods import HEADLINES, MIN_SCANS, compare


def cases(offset, scans, seed=0):
    """Scans p0, p1 … of one method, three slices each, every headline figure about 30 + offset."""
    rng = np.random.default_rng(seed)
    made = {}
    for n in range(scans):
        level = 30 + n + offset + rng.normal(0, 0.05)
        made[f"p{n}"] = Case({}, {figure: np.full(3, level) for figure in HEADLINES}, {}, {})
    return made


def test_six_scans_are_compared_scan_by_scan_as_scipy_does():
    methods = {"a": cases(0, 7, 1), "b": cases(1, 7, 2)}
    told = compare(methods)
    assert (told["unit"], told["scans"]) == ("scan", 7)
    a, b = ([mine[f"p{n}"].per_slice["redcnn.psnr_db"][0] for n in range(7)] for mine in methods.values())
    expected = stats.wilcoxon(np.subtract(a, b)).pvalue
    first = next(t for t in told["tests"] if t["figure"] == "redcnn.psnr_db")
    assert first["p"] == pytest.approx(expected)
    assert first["difference"] == pytest.approx(-1, abs=0.1)
    # Every figure tells the same here, so that the smallest p is taken times the number of tests.
    assert first["p_holm"] == pytest.approx(min(1, expected * len(HEADLINES)))


def test_with_fewer_scans_slices_are_compared_and_only_common_scans_count():
    methods = {"a": cases(0, MIN_SCANS - 1), "b": {k: v for k, v in cases(1, MIN_SCANS - 1).items() if k != "p0"}}
    told = compare(methods)
    assert (told["unit"], told["scans"]) == ("slice", MIN_SCANS - 2)
    assert {(t["first"], t["second"]) for t in told["tests"]} == {("a", "b")}


def test_a_method_against_itself_is_never_significant():
    mine = cases(0, 8)
    told = compare({"a": mine, "b": mine})
    assert all(t["p"] == t["p_holm"] == 1 for t in told["tests"])
