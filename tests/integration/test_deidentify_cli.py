"""The deidentify verb end to end: whole outputs, named refusals, an audit and output without anybody in them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pydicom
import pytest
from deid_tokens import (
    Tokens,
    every_attribute,
    mha_with_tokens,
    nifti_with_tokens,
    nrrd_with_tokens,
    plain_slice,
    written,
)
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.deid import Harvest, load_profile
from med_stylesr.deid.verify import verify_tree
from med_stylesr.deid.volumes import clean_volume_header
from med_stylesr.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["deidentify", *map(str, arguments), "--jobs", "1"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def all_bytes(folder: pathlib.Path) -> bytes:
    return b"\n".join(
        str(p.relative_to(folder)).encode() + (p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")
    )


@pytest.fixture
def source(tmp_path: pathlib.Path) -> tuple[pathlib.Path, Tokens]:
    """A study with tokens in headers, in names of files and folders, in volumes, and things that must not be read."""
    tokens = Tokens()
    folder = tmp_path / "in" / f"{tokens.text('folder name')}_Quillfeather"
    folder.mkdir(parents=True)
    (folder / f"{tokens.text('file name')}.dcm").write_bytes(written(every_attribute(tokens)))
    second = plain_slice()
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.2.1143.1.7"
    (folder / "second").write_bytes(written(second))
    (folder / f"{tokens.text('volume name')}.nii").write_bytes(nifti_with_tokens(tokens))
    (folder / "Quillfeather.nrrd").write_bytes(nrrd_with_tokens(tokens))
    (folder / "b.mha").write_bytes(mha_with_tokens(tokens))
    (folder / "report.txt").write_text(tokens.text("a text file"))
    broken = bytearray(written(plain_slice()))
    (folder / "broken.dcm").write_bytes(bytes(broken[:700]) + b"\xff" * 40)
    secret = tmp_path / "elsewhere.dcm"
    secret.write_bytes(written(plain_slice()))
    (folder / "link.dcm").symlink_to(secret)
    os.mkfifo(folder / "pipe")
    return tmp_path / "in", tokens


def test_everything_is_written_whole_or_named_and_nobody_is_in_it(
    source: tuple[pathlib.Path, Tokens], tmp_path: pathlib.Path
) -> None:
    folder, tokens = source
    dest, key, mapping = tmp_path / "out", tmp_path / "secret.key", tmp_path / "mapping.csv"
    code, output = run(folder, dest, "--key-file", key, "--mapping-csv", mapping)
    assert code == 1
    assert "broken.dcm" in output
    data = all_bytes(dest)
    assert tokens.found_in(data) == {}
    for name in (b"quillfeather", b"zebediah", b"oakenshield", b"mrn7734951", b"brunhilde"):
        assert name not in data.lower()
    audit = json.loads((dest / "deidentify-audit.json").read_text())
    assert audit["files"]["written"] == 5
    assert audit["verification"] == {"passed": True, "leaks": []}
    # The broken file and the link; neither names nor values are in the reasons.
    assert len(audit["files"]["quarantined"]) == 2
    assert not list(dest.rglob(".partial*"))
    assert key.read_text().strip() not in data.decode("latin-1") + output
    lines = mapping.read_text().splitlines()
    assert lines[0] == "id_old,id_new"
    assert any(line.startswith("MRN7734951,P") for line in lines)
    assert mapping.stat().st_mode & 0o777 == 0o600


def test_the_same_key_gives_the_same_tree_and_another_does_not(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(written(plain_slice()))
    for name, key in (("one", "k1"), ("two", "k1"), ("three", "k2")):
        assert run(folder, tmp_path / name, "--key-file", tmp_path / key)[0] == 0
    trees = [sorted(p.name for p in (tmp_path / n).rglob("*")) for n in ("one", "two", "three")]
    assert trees[0] == trees[1] != trees[2]


def test_a_dry_run_writes_nothing_and_tells_what_it_would_do(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(written(plain_slice()))
    code, output = run(file, tmp_path / "out", "--dry-run")
    assert code == 0
    assert "(0010,0010)" in output
    assert "Quillfeather" not in output
    assert not (tmp_path / "out").exists()


def test_a_key_or_mapping_in_the_output_is_refused(tmp_path: pathlib.Path) -> None:
    from med_stylesr.errors import UsageError

    file = tmp_path / "a.dcm"
    file.write_bytes(written(plain_slice()))
    for option in ("--key-file", "--mapping-csv"):
        with pytest.raises(UsageError, match="DEST"):
            run(file, tmp_path / "out", option, tmp_path / "out" / "secret")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["DEST", "--mapping-csv"])
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_read(
    place: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from med_stylesr.errors import UsageError

    def unread(*arguments: object) -> None:
        raise AssertionError("the run began")

    monkeypatch.setattr("med_stylesr.service.deidentify.run_deidentify", unread)
    closed, access = tmp_path / "closed", os.access
    closed.mkdir()
    # Permissions stop nobody who runs the tests as root.
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != closed and access(path, mode))
    more = () if place == "DEST" else ("--mapping-csv", closed / "mapping.csv")
    with pytest.raises(UsageError, match=f"cannot be written to; check the permissions .* another {place}"):
        run(tmp_path, closed / "out" if place == "DEST" else tmp_path / "out", *more)


def test_a_dicomdir_is_left_out_and_told(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(written(plain_slice()))
    directory = plain_slice()
    directory.SOPClassUID = directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    (folder / "DICOMDIR").write_bytes(written(directory))
    code, _ = run(folder, tmp_path / "out")
    assert code == 0
    audit = json.loads((tmp_path / "out" / "deidentify-audit.json").read_text())
    assert list(audit["files"]["left_out"]) == ["a DICOMDIR is left out: make a new one for the output"]


def test_a_leak_in_a_tree_is_found_in_names_headers_and_volumes(tmp_path: pathlib.Path) -> None:
    harvest = Harvest()
    harvest.add_name("Quillfeather^Zebediah")
    harvest.add_identifier("MRN7734951")
    (tmp_path / "Zebediah").mkdir()
    (tmp_path / "Zebediah" / "a.dcm").write_bytes(written(plain_slice()))
    (tmp_path / "b.nii").write_bytes(bytes(400) + b"mrn 7734951" + bytes(9))
    found = verify_tree(tmp_path, harvest, load_profile("basic"))
    assert {where for _, where in found} >= {"its name", "its header"}
    assert {name for name, _ in found} >= {"Zebediah", "b.nii"}


@pytest.mark.parametrize(
    ("ending", "make"), [(".nii", nifti_with_tokens), (".nrrd", nrrd_with_tokens), (".mha", mha_with_tokens)]
)
def test_volumes_keep_their_voxels_and_lose_their_text(ending: str, make: object, tmp_path: pathlib.Path) -> None:
    import numpy as np
    import SimpleITK

    tokens = Tokens()
    data = clean_volume_header(make(tokens), ending)  # type: ignore[operator]
    assert tokens.found_in(data) == {}
    path = tmp_path / f"v{ending}"
    path.write_bytes(data)
    image = SimpleITK.ReadImage(str(path))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).ravel(), np.arange(64))
    with pytest.raises(InputError):
        clean_volume_header(b"nothing of the kind" * 30, ending)


def test_output_conforms(tmp_path: pathlib.Path) -> None:
    judge = shutil.which("dciodvfy") or shutil.which("dciodvfy", path=str(pathlib.Path(sys.executable).parent))
    assert judge
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(written(plain_slice()))
    for profile in ("basic", "share-minimal", "research-longitudinal", "internal-qa"):
        assert run(tmp_path / "in", tmp_path / profile, "--profile", profile)[0] == 0
        (file,) = (tmp_path / profile).rglob("*.dcm")
        said = subprocess.run([judge, "-new", str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr, said.stderr
        assert pydicom.dcmread(file).PatientIdentityRemoved == "YES"
