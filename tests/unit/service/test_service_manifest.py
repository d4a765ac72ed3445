"""The manifest is on the disk before the records that it takes the place of are gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from med_stylesr.service.manifest import DONE, NAME, Entry, Manifest, record_path


@pytest.mark.skipif(os.name == "nt", reason="there are no folders to sync")
def test_records_go_only_when_the_manifest_that_holds_them_will_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("a", "dicom", DONE, fingerprint="f" * 64)
    record = record_path(tmp_path, entry.fingerprint)
    record.write_text("{}")
    manifest = Manifest(tmp_path, "enhance", {})
    happened: list[str] = []
    sync, replace, unlink = os.fsync, os.replace, Path.unlink

    def synced(handle: int) -> None:
        sync(handle)
        happened.append("folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else "content")

    def replaced(source: Any, target: Any) -> None:
        replace(source, target)
        happened.append(Path(target).name)

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        happened.append(path.name)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    manifest.set(entry)
    assert happened == ["content", NAME, "folder", record.name]
