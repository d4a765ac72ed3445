"""The reference explains every key and overlay, and the tutorial's commands are ones that exist."""

from __future__ import annotations

import json
import pathlib
import re

from med_stylesr.service.train import check_keys, find_overlay, parse_overrides

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN = ROOT / "bundles" / "ldct_stylesr_2d" / "configs" / "train.json"


def test_every_top_level_key_of_the_training_config_is_explained() -> None:
    text = (ROOT / "docs" / "reference" / "config.md").read_text()
    assert [key for key in json.loads(TRAIN.read_text()) if f"`{key}`" not in text] == []


def test_every_overlay_is_explained() -> None:
    text = (ROOT / "docs" / "reference" / "config.md").read_text()
    names = [p.stem for p in (ROOT / "configs").glob("*.json")]
    names += [p.stem for p in (ROOT / "configs" / "ablation").glob("*.json")]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_commands_of_the_tutorial_name_overlays_and_keys_that_exist() -> None:
    text = (ROOT / "docs" / "tutorials" / "train-on-your-scans.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^med-stylesr train (.*)$", text, re.M)
    assert len(commands) >= 3
    for line in commands:
        overlays = [str(find_overlay(name)) for name in re.findall(r"--overlay (\S+)", line)]
        check_keys([str(TRAIN), *overlays], parse_overrides([w for w in line.split() if "=" in w]))
