"""Files are opened so that neither links nor pipes do harm, on every system."""

from __future__ import annotations

import os
import pathlib

import pytest
from deid_tokens import plain_slice, written

from med_stylesr.deid.files import kind_of


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(plain_slice()))
    (tmp_path / "link").symlink_to(tmp_path / "a.dcm")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="link"):
        kind_of(tmp_path / "link")
    assert kind_of(tmp_path / "pipe") == "it is no regular file"


@pytest.mark.parametrize("missing", [(), ("O_NONBLOCK", "O_NOFOLLOW")])
def test_files_are_told_apart_where_the_system_has_fewer_ways_to_open_them(
    missing: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(written(plain_slice()))
    (tmp_path / "v.nii").write_bytes(bytes(400))
    (tmp_path / "notes").write_text("nothing")
    for name in missing:
        monkeypatch.delattr(os, name)
    assert kind_of(tmp_path / "a") == "dicom"
    assert kind_of(tmp_path / "v.nii") == "volume"
    assert kind_of(tmp_path / "notes").startswith("it is neither")
