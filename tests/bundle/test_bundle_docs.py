"""The reference explains every key, part and overlay, and the tutorial's commands are ones that exist."""

from __future__ import annotations

import importlib.util
import pathlib
import re
from typing import Any

import pytest

from med_stylesr.service.train import check_keys, find_overlay, parse_overrides

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN = ROOT / "bundles" / "ldct_stylesr_2d" / "configs" / "train.json"
KEYS, PARTS = (ROOT / "docs" / "reference" / name for name in ("config.md", "config-parts.md"))


@pytest.fixture(scope="module")
def tool() -> Any:
    """The program that writes the page of parts."""
    path = ROOT / "tools" / "make_config_parts.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(config: Any) -> set[str]:
    """Every key at every depth; `a#b` names two."""
    found: set[str] = set()
    if isinstance(config, dict):
        for key, value in config.items():
            found |= {name for name in key.lstrip("+").split("#") if not name.startswith("_") and not name.isdigit()}
            found |= names(value)
    elif isinstance(config, list):
        for value in config:
            found |= names(value)
    return found


def test_every_name_in_every_config_is_explained(tool: Any) -> None:
    text = KEYS.read_text() + PARTS.read_text() + (KEYS.parent / "edge-loss.md").read_text()
    for path, config in tool.configs():
        if path.parent.name not in ("deploy", "weights"):
            assert sorted(name for name in names(config) if f"`{name}`" not in text) == [], path


def test_every_argument_of_every_part_is_explained_under_its_part(tool: Any) -> None:
    sections = {part.split("`")[1]: part for part in PARTS.read_text().split("## ")[1:]}
    for path, config in tool.configs():
        for target, arguments in tool.parts(config):
            assert target in sections, f"{path}: run tools/make_config_parts.py for {target}"
            assert sorted(name for name in arguments if f"| `{name}` |" not in sections[target]) == [], target


def test_every_overlay_is_explained() -> None:
    text = KEYS.read_text()
    paths = [*(ROOT / "configs").glob("*.json"), *(ROOT / "configs" / "ablation").glob("*.json")]
    assert [path.stem for path in paths if f"`{path.stem}`" not in text] == []


def test_commands_of_the_tutorial_name_overlays_and_keys_that_exist() -> None:
    text = (ROOT / "docs" / "tutorials" / "train-on-your-scans.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^med-stylesr train (.*)$", text, re.M)
    assert len(commands) >= 3
    for line in commands:
        overlays = [str(find_overlay(name)) for name in re.findall(r"--overlay (\S+)", line)]
        check_keys([str(TRAIN), *overlays], parse_overrides([w for w in line.split() if "=" in w]))
