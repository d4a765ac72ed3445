"""What a run tells of a finished scan."""

from __future__ import annotations

from typing import Any

import pytest

from med_stylesr.cli.progress import reporter

FACTS = {"noise_before_hu": 30.0, "noise_after_hu": 15.0, "strength": 0.5, "tissue_shift_hu": {"fat": -0.2}}


def told(capsys: pytest.CaptureFixture[str], **facts: Any) -> str:
    with reporter(as_json=False) as events:
        events({"event": "done", "seconds": 1.0, "facts": {**FACTS, **facts}})
    return capsys.readouterr().out


def test_an_estimated_dose_is_told_with_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    line = told(capsys, dose_estimate={"dose_fraction": 0.25, "dose_range": [0.12, 0.52]})
    assert "noise 30.0 -> 15.0 HU, made with about 25% of normal dose (12% to 52%), strength 0.50" in line


@pytest.mark.parametrize("estimate", [None, {"dose_fraction": None, "dose_range": None, "note": "kernel not known"}])
def test_what_could_not_be_estimated_is_not_told(capsys: pytest.CaptureFixture[str], estimate: Any) -> None:
    assert "normal dose" not in told(capsys, dose_estimate=estimate)
    assert "noise 30.0 -> 15.0 HU, strength 0.50" in told(capsys)


@pytest.mark.parametrize("unknown", [{"noise_after_hu": None}, {"finish": "soft"}])
def test_noise_that_nobody_knows_before_is_not_told(capsys: pytest.CaptureFixture[str], unknown: Any) -> None:
    """After a kernel, or the filter to that of a reference."""
    assert "noise 30.0 HU, strength 0.50" in told(capsys, **unknown)
