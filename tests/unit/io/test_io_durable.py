"""A power failure at any moment leaves whole what was announced: everything reaches the disk in the right order."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from med_stylesr.errors import InputError
from med_stylesr.io import durable
from med_stylesr.io.publish import PARTIAL, Staging, recovered, staged_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no folders to sync")


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What was synced and renamed, in order; a rename is told by its new name."""
    log: list[tuple[str, Path]] = []
    opened: dict[int, Path] = {}
    really_open, really_sync = os.open, os.fsync

    def noted_open(path: str | Path, flags: int, *rest: int, **named: int) -> int:
        handle = really_open(path, flags, *rest, **named)
        opened[handle] = Path(path)
        return handle

    def noted_sync(handle: int) -> None:
        really_sync(handle)
        log.append(("sync", opened[handle]))

    def noted(rename: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: str | Path, target: str | Path) -> None:
            rename(source, target)
            log.append(("rename", Path(target)))

        return renamed

    monkeypatch.setattr(os, "open", noted_open)
    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted(os.rename))
    monkeypatch.setattr(os, "replace", noted(os.replace))
    return log


def test_contents_then_record_then_names(tmp_path: Path, happened: list[tuple[str, Path]]) -> None:
    dest, record = tmp_path / "out", tmp_path / "out" / ".published-1.json"
    dest.mkdir()
    with Staging(overwrite=False) as staging:
        folder = staging.folder(dest / "patient" / "series")
        page = staging.file(dest / "patient" / "series.html")
        files = [folder / f"{k:04d}.dcm" for k in range(3)]
        for path in (*files, page):
            path.write_bytes(b"x")
        assert ("sync", dest) in happened, "the patient's folder is to stay"
        happened.clear()
        staging.publish(record, {"a": 1})
    kinds = [kind for kind, _ in happened]
    at = {step: happened.index(step) for step in happened}
    announced = at["rename", record]
    for content in (*files, folder, page):
        assert at["sync", content] < announced, f"{content.name} before the record that announces it"
    (written,) = [path for _, path in happened[:announced] if path.parent == dest and path.name.endswith(".json")]
    assert at["sync", written] < announced, "the record's own content before its name"
    shown = [place for place, (kind, path) in enumerate(happened) if kind == "rename" and path.parent != dest]
    assert len(shown) == 2
    assert announced < at["sync", dest] < min(shown), "the record before what it announces"
    assert max(shown) < at["sync", dest / "patient"] == len(kinds) - 1, "names before anybody is told"


def test_what_is_finished_after_a_kill_is_on_the_disk_before_it_counts(
    tmp_path: Path, happened: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / ".published-1.json"
    staging = Staging(overwrite=False)
    (staging.folder(tmp_path / "p" / "series") / "0001.dcm").write_bytes(b"x")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr("med_stylesr.io.publish._finish", lambda moves: (_ for _ in ()).throw(KeyboardInterrupt))
        staging.publish(record, {"a": 1})
    happened.clear()
    assert recovered(record) == {"a": 1}
    assert happened[-1] == ("sync", tmp_path / "p")
    assert [p.name for p in (tmp_path / "p").iterdir()] == ["series"]


def test_a_disk_that_turns_out_full_at_the_last_moment_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(InputError, match="No space left"),
        staged_file(tmp_path / "a.nii", overwrite=False) as partial,
    ):
        partial.write_bytes(b"x")
    assert not list(tmp_path.iterdir())


def test_a_file_system_that_cannot_sync_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unable)
    with staged_file(tmp_path / "a.nii", overwrite=False) as partial:
        partial.write_bytes(b"x")
    assert (tmp_path / "a.nii").read_bytes() == b"x"


def test_folders_are_not_opened_where_there_is_no_such_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(durable.os, "name", "nt")
    monkeypatch.setattr(durable.os, "open", lambda path, flags: opened.append(path))
    durable.sync_folder(tmp_path)
    assert not opened


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        return
    (tmp_path / "a").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        durable.sync_tree(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_unfinished_output_is_never_synced(tmp_path: Path, happened: list[tuple[str, Path]]) -> None:
    with pytest.raises(RuntimeError), staged_file(tmp_path / "a.nii", overwrite=False) as partial:  # noqa: PT012
        partial.write_bytes(b"x")
        raise RuntimeError
    assert not [path for _, path in happened if path.name.startswith(PARTIAL)]
