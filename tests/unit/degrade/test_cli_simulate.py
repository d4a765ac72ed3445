"""`med-stylesr simulate` from the command line: formats, records, one line an error, nothing partial."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantoms import BODY, stack, write_series

from med_stylesr.cli.main import run
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

KNOWN = ["--i0", "1e5", "--kernel", "soft"]
SPEC = stack(4, shape=(48, 48), step_mm=3.0)

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the program; returns its exit status."""

    def main(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["med-stylesr", "simulate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        return int(ended.value.code or 0)

    return main


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_series(tmp_path / "src" / "scan", SPEC, BODY)
    return tmp_path / "src"


def outputs(dest: Path) -> list[Path]:
    return sorted(p.relative_to(dest) for p in dest.rglob("*") if p.is_file())


def test_dicom_in_derived_dicom_out_with_its_record(call: Call, scan: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out"
    assert call(scan, dest, "--dose", "0.25", "--seed", "3", *KNOWN) == 0
    with find_inputs(scan) as source, find_inputs(dest / "PH-1") as result:
        before, after = source.series[0], result.series[0]
        np.testing.assert_allclose(after.affine, before.affine)
        moved = read_volume(after).hu.astype(float) - read_volume(before).hu
    header = after.headers[0]
    assert after.uid != before.uid
    assert after.study_uid == before.study_uid
    assert list(header.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    for told in ("dose fraction 0.25", "I0 photons per ray 100000", "kernel soft", "seed 3"):
        assert told in header.DerivationDescription
    assert 1 < moved[:, 20:28, 20:28].std() < 200
    (sidecar,) = (dest / "PH-1").glob("*.json")
    facts = json.loads(sidecar.read_text())
    assert (facts["dose_fraction"], facts["i0_photons"], facts["seed"]) == (0.25, 1e5, 3)
    assert facts["kernel"]["name"] == "soft"
    manifest = json.loads((dest / "manifest.json").read_text())
    (entry,) = manifest["series"]
    assert (manifest["command"], entry["status"]) == ("simulate", "done")
    assert sorted(Path(p) for p in entry["outputs"]) == [p for p in outputs(dest) if p.name != "manifest.json"]


def test_thick_slices_of_dicom_say_where_they_are_and_what_they_are_made_of(
    call: Call, scan: Path, tmp_path: Path
) -> None:
    assert call(scan, tmp_path / "out", "--thickness", "6", "--step", "6", "--pixel", "4") == 0
    files = sorted((tmp_path / "out").rglob("*.dcm"))
    slices = [pydicom.dcmread(f) for f in files]
    assert len(slices) == 2
    first = slices[0]
    assert float(first.SliceThickness) == 6
    assert [float(v) for v in first.PixelSpacing] == [4, 4]
    assert (first.Rows, first.Columns) == (24, 24)
    assert slices[1].ImagePositionPatient[2] - first.ImagePositionPatient[2] == pytest.approx(6)
    assert first.ImagePositionPatient[2] == pytest.approx(SPEC.origins_mm[0][2] + 1.5)
    assert first.ImagePositionPatient[0] == pytest.approx(SPEC.origins_mm[0][0] + 1.0)
    assert len(first.SourceImageSequence) == 2


@pytest.mark.parametrize("name", ["a.nii.gz", "deep/b.nrrd", "c.mha"])
def test_volumes_come_back_in_their_format_and_place(call: Call, tmp_path: Path, name: str) -> None:
    volume = CTVolume(np.full((2, 40, 40), 40, np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    (tmp_path / "src" / name).parent.mkdir(parents=True)
    write_volume_file(volume, tmp_path / "src" / name)
    assert call(tmp_path / "src", tmp_path / "out", "--dose", "0.5", *KNOWN) == 0
    result = read_volume_file(tmp_path / "out" / name)
    np.testing.assert_allclose(result.affine, volume.affine)
    assert np.abs(result.hu - 40.0).max() > 1
    assert outputs(tmp_path / "out") == sorted([Path(name), Path(f"{name}.json"), Path("manifest.json")])


def test_the_same_seed_gives_the_same_files(call: Call, scan: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert call(scan, tmp_path / name, "--dose", "0.25", *KNOWN) == 0
    one, two = (sorted((tmp_path / name).rglob("*.dcm")) for name in ("one", "two"))
    assert [p.parent.name for p in one] == [p.parent.name for p in two]
    for first, second in zip(one, two, strict=True):
        assert pydicom.dcmread(first).PixelData == pydicom.dcmread(second).PixelData


def test_one_scan_that_fails_does_not_stop_the_others(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oblong = CTVolume(np.full((2, 40, 40), 40, np.int16), np.diag([2.0, 1.0, 3.0, 1.0]))
    write_volume_file(oblong, scan / "oblong.nii.gz")
    assert call(scan, tmp_path / "out", "--dose", "0.5", *KNOWN) == 1
    problems = capsys.readouterr().err.splitlines()
    assert len(problems) == 1
    assert problems[0].startswith("med-stylesr: oblong.nii.gz: pixels are not square")
    names = [p.name for p in outputs(tmp_path / "out")]
    assert "0001.dcm" in names
    assert not any("oblong" in n or n.startswith(".") for n in names)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--dose", "2"], "no share"),
        ([], "nothing to do"),
        (["--dose", "0.5", "--kernel", "sharpest"], "one of"),
        (["--dose", "0.5", "--device", "cuda:99"], "cuda:99"),
        (["--dose", "1e-9"], "--dose 1e-09"),
        (["--dose", "0.5", "--i0", "1e99", "--kernel", "soft"], "--i0 1e+99"),
        (["--dose", "0.5", "--i0", "1e-9", "--kernel", "soft"], "--i0 1e-09"),
        (["--dose", "0.5", "--electronic-noise", "inf"], "--electronic-noise inf"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert call(scan, tmp_path / "out", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not (tmp_path / "out").exists()


def test_existing_results_are_kept_unless_told_otherwise(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = (scan, tmp_path / "out", "--dose", "0.25", *KNOWN)
    assert call(*again) == 0
    before = {p: (tmp_path / "out" / p).stat().st_mtime_ns for p in outputs(tmp_path / "out") if p.suffix == ".dcm"}
    assert call(*again) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds the results of an earlier run; use --resume" in line
    assert before == {p: (tmp_path / "out" / p).stat().st_mtime_ns for p in before}
    assert call(*again, "--overwrite") == 0


def test_progress_as_json_is_json_alone(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(scan, tmp_path / "out", "--dose", "0.25", "--json", *KNOWN) == 0
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events[0] == "scan"
    assert events[-1] == "end"
    assert "done" in events


def test_an_interrupted_write_leaves_nothing(
    call: Call, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from med_stylesr.io.dicom_write import DerivedSeriesWriter

    whole = DerivedSeriesWriter.write

    def full_disk(self: DerivedSeriesWriter, index: int, *rest: object) -> Path:
        if index == 2:
            raise OSError(28, "No space left on device")
        return whole(self, index, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(DerivedSeriesWriter, "write", full_disk)
    assert call(scan, tmp_path / "out", "--dose", "0.25", *KNOWN) == 1
    assert "No space left" in capsys.readouterr().err
    assert outputs(tmp_path / "out") == [Path("manifest.json")]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--thickness", "6", "--step", "1e-6"], "--step 1e-06 is far finer"),
        (["--thickness", "1e-6", "--profile", "smooth"], "--thickness 1e-06 is far finer"),
        (["--pixel", "5000"], "--pixel 5000 leaves fewer than 8 rows"),
        (["--pixel", "4", "--psf", "1e30"], "--psf 1e+30 is wider"),
    ],
)
def test_what_would_take_for_ever_or_leave_nothing_is_told_by_its_option(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert call(scan, tmp_path / "out", *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert outputs(tmp_path / "out") == [Path("manifest.json")]


def test_a_broken_file_of_a_series_is_named(
    call: Call, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = sorted((scan / "scan").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:-500])
    assert call(scan, tmp_path / "out", "--dose", "0.5", *KNOWN) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("med-stylesr: series ")
    assert str(broken) in line
