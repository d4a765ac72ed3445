"""The cache of models: right entry, whole files, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from med_stylesr.inference import bundle_folder
from med_stylesr.inference.bundle import load_bundle
from med_stylesr.inference.model_cache import VARIABLE, CachedModels, cache_root


def test_a_file_is_made_once_and_found_by_equal_contents_only(tmp_path: Path) -> None:
    made = []

    def make() -> bytes:
        made.append(1)
        return b"model"

    for contents in ((b"weights", b"config"), (b"weights", b"config"), (b"weights", b"other config")):
        assert CachedModels(*contents, root=tmp_path).file("a.onnx", make).read_bytes() == b"model"
    assert len(made) == 2


def test_contents_are_told_apart_however_they_are_split(tmp_path: Path) -> None:
    for contents in ((b"ab", b"c"), (b"a", b"bc")):
        CachedModels(*contents, root=tmp_path)
    assert len(list((tmp_path / "models").iterdir())) == 2


def test_a_failed_making_leaves_nothing(tmp_path: Path) -> None:
    models = CachedModels(b"x", root=tmp_path)

    def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        models.file("a.onnx", fail)
    assert [path.name for path in next((tmp_path / "models").iterdir()).iterdir()] == ["used"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    models = CachedModels(b"x", root=blocked)
    assert models.file("a.onnx", lambda: b"model").read_bytes() == b"model"
    models.keep("record", {"a": 1})
    assert models.record("record") == {"a": 1}


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    models = CachedModels(b"x", root=tmp_path)
    models.file("record.json", lambda: b"{half")
    assert models.record("record") is None


def test_old_entries_are_removed_and_the_current_one_stays(tmp_path: Path) -> None:
    for number in range(20):
        CachedModels(str(number).encode(), root=tmp_path)
        for entry in (tmp_path / "models").iterdir():
            os.utime(entry / "used", (number, number))
    models = CachedModels(b"current", root=tmp_path)
    assert models.file("a", lambda: b"").is_file()
    assert len(list((tmp_path / "models").iterdir())) == 17


def test_the_folder_is_the_users_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/elsewhere")
    assert cache_root() == Path("/elsewhere")
    monkeypatch.delenv(VARIABLE)
    assert "med-stylesr" in cache_root().name


def test_a_bundle_loaded_from_the_cache_is_the_one_from_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first = load_bundle("ldct_stylesr_2d", torch.device("cpu"))
    assert (first.models.record("network") or {})["spatial_dims"] == 2
    # Read instead of parsed: that this fails without the record shows it.
    monkeypatch.setattr("monai.bundle.config_parser.ConfigParser.read_config", lambda *args: 1 / 0)
    second = load_bundle("ldct_stylesr_2d", torch.device("cpu"))
    for (name, a), (other, b) in zip(
        first.network.state_dict().items(), second.network.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(a, b)
    assert bundle_folder.is_shipped(second.path)
