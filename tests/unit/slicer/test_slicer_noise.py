"""The noise told at a strength is the engine's own."""

from __future__ import annotations

import pytest
from MedStyleSRLib.noise import noise_at

CURVE = [[0.0, 30.0], [0.5, 18.0], [1.0, 12.0]]


def test_at_measured_strengths_the_noise_is_the_engine_s_and_between_them_on_the_line() -> None:
    assert [noise_at(strength, CURVE) for strength, _ in CURVE] == [level for _, level in CURVE]
    assert noise_at(0.75, CURVE) == pytest.approx(15.0)


@pytest.mark.parametrize("curve", [None, []])
def test_where_the_engine_could_not_measure_nothing_is_told(curve: list[list[float]] | None) -> None:
    assert noise_at(0.5, curve) is None
