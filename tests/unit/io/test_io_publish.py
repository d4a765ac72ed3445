"""Output appears whole or not at all, never over what is there, never in or around SOURCE."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.publish import PARTIAL, check_apart, remove_leftovers, staged_file, staged_folder


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "series"
    with pytest.raises(KeyboardInterrupt), staged_folder(final, overwrite=False) as folder:  # noqa: PT012
        (folder / "half.dcm").write_bytes(b"x")
        assert not final.exists()
        raise KeyboardInterrupt
    assert not list((tmp_path / "deep").iterdir())
    with staged_folder(final, overwrite=False) as folder:
        (folder / "whole.dcm").write_bytes(b"x")
    assert [p.name for p in final.iterdir()] == ["whole.dcm"]
    assert [p.name for p in final.parent.iterdir()] == ["series"]


def test_existing_output_is_only_replaced_when_asked_and_then_at_once(tmp_path: Path) -> None:
    final = tmp_path / "series"
    final.mkdir()
    (final / "old.dcm").write_bytes(b"old")
    with pytest.raises(UsageError, match="overwrite"), staged_folder(final, overwrite=False):
        pass
    with pytest.raises(RuntimeError), staged_folder(final, overwrite=True):
        raise RuntimeError
    assert (final / "old.dcm").read_bytes() == b"old"
    with staged_folder(final, overwrite=True) as folder:
        (folder / "new.dcm").write_bytes(b"new")
    assert [p.name for p in final.iterdir()] == ["new.dcm"]
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "a.nii.gz"
    with pytest.raises(RuntimeError), staged_file(final, overwrite=False) as partial:  # noqa: PT012
        partial.write_bytes(b"half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with staged_file(final, overwrite=False) as partial:
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"whole")
    with pytest.raises(UsageError), staged_file(final, overwrite=False):
        pass
    assert final.read_bytes() == b"whole"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    final = tmp_path / "s"
    with pytest.raises(InputError, match="No space left") as caught, staged_folder(final, False) as folder:  # noqa: PT012
        (folder / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "p" / f"{PARTIAL}77-series").mkdir(parents=True)
    (tmp_path / "p" / f"{PARTIAL}77-series" / "0001.dcm").write_bytes(b"x")
    (tmp_path / f"{PARTIAL}78-a.nii.gz").write_bytes(b"x")
    (tmp_path / "p" / "series").mkdir()
    (tmp_path / "p" / "series" / "0001.dcm").write_bytes(b"x")
    assert len(remove_leftovers(tmp_path)) == 2
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["p", "p/series", "p/series/0001.dcm"]


@pytest.mark.parametrize(
    ("source", "dest"), [("a", "a"), ("a", "a/out"), ("a", "link/out"), ("a/b", "a"), ("a", "file"), ("a", "a/../a/x")]
)
def test_dest_and_source_may_not_lie_in_each_other(tmp_path: Path, source: str, dest: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError):
        check_apart(tmp_path / source, tmp_path / dest)


def test_dest_beside_source_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()
    (tmp_path / "scan.nii").write_bytes(b"")
    check_apart(tmp_path / "a", tmp_path / "ab")
    check_apart(tmp_path / "a", tmp_path / "new" / "er")
    check_apart(tmp_path / "scan.nii", tmp_path)
    assert not os.path.exists(tmp_path / "new")
