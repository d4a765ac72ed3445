"""Bundles: what is damaged or foreign is told in one line, and nothing of it is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from med_stylesr.errors import UsageError
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.bundle_folder import BUNDLE_2D, find_bundle

CPU = torch.device("cpu")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    copy = tmp_path / "mine"
    shutil.copytree(find_bundle(BUNDLE_2D), copy, ignore=shutil.ignore_patterns("int8.*", "docs"))
    return copy


def configure(bundle: Path, **changes: Any) -> None:
    path = bundle / "configs" / "inference.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "pointer of git LFS": lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "empty": lambda whole: b"",
    "cut off": lambda whole: whole[: len(whole) // 2],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_weights_are_told_without_advice_to_load_them_anyway(bundle: Path, damage: str) -> None:
    weights = bundle / "models" / "model.pt"
    weights.write_bytes(DAMAGE[damage](weights.read_bytes()))
    with pytest.raises(UsageError, match="no file of weights") as told:
        load_bundle(bundle, CPU)
    assert "weights_only" not in str(told.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_metadata_are_told(bundle: Path, content: str) -> None:
    (bundle / "configs" / "metadata.json").write_text(content)
    with pytest.raises(UsageError, match=r"damaged configs/metadata\.json"):
        load_bundle(bundle, CPU)


@pytest.mark.parametrize("place", ["network_def", "argument", "reference", "component", "imports"])
def test_code_in_a_bundle_is_not_run_to_load_it(bundle: Path, tmp_path: Path, place: str) -> None:
    spoiled = tmp_path / "spoiled"
    touch = f"$__import__('pathlib').Path({str(spoiled)!r}).touch()"
    generator = json.loads((bundle / "configs" / "inference.json").read_text())["network_def"]
    changes: dict[str, Any] = {
        "network_def": {"network_def": touch},
        "argument": {"network_def": {**generator, "attention": touch}},
        "reference": {"num_blocks": touch},
        "component": {"network_def": {"_target_": "pathlib.Path.touch", "self": str(spoiled)}},
        "imports": {"imports": [touch]},
    }
    configure(bundle, **changes[place])
    if place == "imports":
        load_bundle(bundle, CPU)
    else:
        with pytest.raises(UsageError, match="mine"):
            load_bundle(bundle, CPU)
    assert not spoiled.exists()


def test_sizes_that_no_network_can_have_are_told(bundle: Path) -> None:
    configure(bundle, num_blocks=[1])
    with pytest.raises(UsageError, match="num_blocks"):
        load_bundle(bundle, CPU)
