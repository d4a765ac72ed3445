"""The train verb's checks: unknown keys and overlays are refused with the nearest known name, before anything runs."""

from __future__ import annotations

import json
import pathlib

import pytest

from med_stylesr.errors import UsageError
from med_stylesr.service.train import TrainingRun, check_keys, find_overlay, parse_overrides, record, train

CONFIG = pathlib.Path(__file__).resolve().parents[3] / "bundles" / "ldct_stylesr_2d" / "configs" / "train.json"


def test_a_typing_error_in_a_key_is_refused_with_the_nearest_key() -> None:
    check_keys([str(CONFIG)], {"train#trainer#max_epochs": 3})
    with pytest.raises(UsageError, match="did you mean train#trainer#max_epochs"):
        check_keys([str(CONFIG)], {"train#trainer#max_epoch": 3})


def test_every_overlay_that_comes_with_the_package_passes_the_check() -> None:
    overlays = sorted((CONFIG.parents[3] / "configs").rglob("*.json"))
    for overlay in overlays:
        if overlay.parent.name not in ("deid", "degrade", "deploy", "weights"):
            check_keys([str(CONFIG), str(overlay)], {})


def test_the_overlays_of_the_shipped_encoder_pass_the_check_in_their_order() -> None:
    configs = CONFIG.parents[3] / "configs"
    check_keys([str(CONFIG), str(configs / "encoder.json"), str(configs / "weights" / "ct_encoder.json")], {})


def test_the_stages_of_the_shipped_weights_pass_the_check_each_upon_the_first() -> None:
    root = CONFIG.parents[3]
    for stage in sorted((root / "configs" / "weights").glob("?d_stage*.json")):
        dims = stage.name[:2]
        base = [
            root / "bundles" / f"ldct_stylesr_{dims}" / "configs" / "train.json",
            stage.with_name(f"{dims}_stage1.json"),
        ]
        check_keys([str(path) for path in dict.fromkeys([*base, stage])], {})


def test_an_argument_that_a_part_takes_may_be_given_and_no_other() -> None:
    # The evaluator names it, the trainer hands it on to its base class.
    check_keys([str(CONFIG)], {"validate#evaluator#decollate": False, "train#trainer#decollate": False})
    with pytest.raises(UsageError, match="did you mean validate#evaluator#decollate"):
        check_keys([str(CONFIG)], {"validate#evaluator#decolate": False})
    with pytest.raises(UsageError, match="in no config of this run"):
        check_keys([str(CONFIG)], {"nowhere#at_all": 1})


def test_a_new_key_of_an_overlay_must_be_referred_to(tmp_path: pathlib.Path) -> None:
    overlay = tmp_path / "mine.json"
    overlay.write_text(json.dumps({"lerning_rate": 1}))
    with pytest.raises(UsageError, match="learning_rate"):
        check_keys([str(CONFIG), str(overlay)], {})
    overlay.write_text(json.dumps({"mine": 1, "learning_rate": "@mine"}))
    check_keys([str(CONFIG), str(overlay)], {})


def test_overlays_are_found_by_name_and_unknown_ones_named() -> None:
    assert find_overlay("smoke").name == "smoke.json"
    assert find_overlay("ablation/no_edge").is_file()
    with pytest.raises(UsageError, match="did you mean smoke"):
        find_overlay("smokey")


def test_values_are_numbers_lists_or_expressions() -> None:
    values = parse_overrides(["a=1e-3", "b=[1, 2]", "c=true", "d=$@a + 1", "e=@a", "f=text"])
    assert values == {"a": 1e-3, "b": [1, 2], "c": True, "d": "$@a + 1", "e": "@a", "f": "text"}
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_overrides(["oops"])


def test_an_earlier_run_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    (tmp_path / "last.pt").touch()
    with pytest.raises(UsageError, match="--resume"):
        train(TrainingRun("ldct_stylesr_2d", [], {}, tmp_path), print)


def test_a_value_that_a_part_cannot_take_is_told_with_the_part(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match=r"DataLoader: batch_size should be a positive integer"):
        train(TrainingRun("ldct_stylesr_2d", ["smoke"], {"batch_size": -1}, tmp_path / "run"), print)


def test_the_run_folder_says_what_was_run(tmp_path: pathlib.Path) -> None:
    record({"a": 1, "_meta_": {}}, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}
    assert "torch" in json.loads((tmp_path / "environment.json").read_text())["packages"]
