"""Whatever the panel can ask for, the program's own command line understands."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from MedStyleSRLib.command import RUNTIMES, EnhanceRequest
from MedStyleSRLib.problems import EngineProblem

from med_stylesr.cli.choices import RuntimeName
from med_stylesr.cli.main import app


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The options as the program sees them; nothing is run."""
    verb = typer.main.get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
    return dict(verb.make_context("enhance", list(arguments[1:])).params)


def test_a_volume_is_run_at_full_strength_watched_and_without_a_report() -> None:
    options = parsed(
        EnhanceRequest(strength=0.3, scale=(2, 1, 1), bundle="/b").for_volume("a.nrrd", "out", blends=True)
    )
    assert options["strength"] == "1"
    assert options["scale"] == (2, 1, 1)
    assert options["bundle"] == "/b"
    assert options["as_json"]
    assert options["stop_with_stdin"]
    assert not options["report"]


def test_with_factors_between_and_within_slices_the_engine_itself_runs_at_the_strength_asked_for() -> None:
    thick = (2.0, 0.7, 0.7)
    for request in (EnhanceRequest(strength=0.3, scale=(2, 2, 2)), EnhanceRequest(0.3, spacing=(1.0, 0.35, 0.35))):
        assert request.factors(thick) == (2, 2, 2)
        assert not request.blends(thick)
        assert parsed(request.for_volume("a", "b", blends=False))["strength"] == "0.3"
    for request in (EnhanceRequest(), EnhanceRequest(scale=(2, 1, 1)), EnhanceRequest(spacing=(2.0, 0.35, 0.35))):
        assert request.blends(thick)


def test_a_dose_or_a_noise_level_leaves_the_strength_to_the_engine() -> None:
    assert parsed(EnhanceRequest(dose=0.25).for_volume("a", "b", blends=True))["strength"] == "auto"
    options = parsed(EnhanceRequest(target_noise=12, spacing=(1.0, 0.5, 0.5)).for_folder("a", "b", True, False, 2))
    assert (options["strength"], options["target_noise"], options["spacing"]) == ("auto", 12, (1.0, 0.5, 0.5))
    assert (options["resume"], options["overwrite"], options["jobs"]) == (True, False, 2)


def test_every_runtime_that_the_panel_offers_is_one_of_the_program_s_and_goes_there() -> None:
    offered = {name: parsed(EnhanceRequest(runtime=name).for_volume("a", "b", blends=True)) for name in RUNTIMES}
    assert {name: options["runtime"] for name, options in offered.items()} == {name: name for name in RuntimeName}
    assert parsed(EnhanceRequest(runtime="onnx").for_folder("a", "b", False, False, 1))["runtime"] == "onnx"


def test_a_folder_is_run_at_the_strength_asked_for() -> None:
    assert parsed(EnhanceRequest(strength=0.5).for_folder("a", "b", False, True, 1))["strength"] == "0.5"


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 1.5}, {"dose": 0.0}, {"dose": 2.0}, {"target_noise": -1}, {"dose": 0.5, "target_noise": 9},
        {"scale": (1, 0, 1)}, {"scale": (2, 2)}, {"spacing": (1, 1)}, {"spacing": (1, 1, 1), "scale": (2, 1, 1)},
        {"runtime": "tensorrt"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_a_process_is_started(wrong: dict[str, Any]) -> None:
    with pytest.raises(EngineProblem):
        EnhanceRequest(**wrong)
