"""Against a real archive: C-STORE in, derived series back in the same study, by C-STORE and by DICOMweb."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest
from orthanc_archive import Orthanc
from pacs_peers import SECRET_NAME, wait_for
from phantoms import BODY, GRADIENT, stack, write_series
from typer.testing import CliRunner

from med_stylesr.cli.main import app

pytestmark = [pytest.mark.pacs, pytest.mark.timeout(900)]


@pytest.fixture
def scan(tmp_path: Path) -> list[Path]:
    """A small CT series on the disk."""
    return write_series(tmp_path / "scan", stack(6, shape=(64, 64)), BODY, PatientName=SECRET_NAME)


def derived_of(orthanc: Any, source: Path) -> dict[str, Any]:
    """The one series of the archive that is not that of the file, once the archive has all six images of it."""
    own = pydicom.dcmread(source).SeriesInstanceUID

    def found() -> Any:
        others = [s for s in orthanc.series() if s["MainDicomTags"]["SeriesInstanceUID"] != own]
        return [s for s in others if len(s["Instances"]) == 6]

    (series,) = wait_for(found, 600)
    return dict(series)


def require_linked(orthanc: Any, series: dict[str, Any], scan: list[Path]) -> None:
    """The derived series is in the study of its source, names it, and is one of this program."""
    assert len(orthanc.ask("/studies")) == 1
    source = {str(pydicom.dcmread(path).SOPInstanceUID) for path in scan}
    for instance in series["Instances"]:
        tags = orthanc.ask(f"/instances/{instance}/simplified-tags")
        assert tags["StudyInstanceUID"] == pydicom.dcmread(scan[0]).StudyInstanceUID
        assert tags["ImageType"].startswith("DERIVED")
        assert tags["ContributingEquipmentSequence"][-1]["Manufacturer"] == "med-stylesr"
        named = {item["ReferencedSOPInstanceUID"] for item in tags["SourceImageSequence"]}
        assert named
        assert named <= source


@pytest.mark.parametrize("way", ["dicom", "web"])
def test_a_study_that_the_archive_forwards_comes_back_derived_into_the_same_study(
    orthanc: Any, serve: Any, scan: list[Path], way: str
) -> None:
    for path in scan:
        orthanc.ask("/instances", path.read_bytes())
    with serve("--to", getattr(orthanc, way), enhance=("--strength", "0.5")) as log:
        (study,) = orthanc.ask("/studies")
        orthanc.ask("/modalities/stylesr/store", [study])
        require_linked(orthanc, derived_of(orthanc, scan[0]), scan)
        wait_for(lambda: '"series delivered"' in log.read_text())
        if way == "dicom":
            # The archive forwards the whole study once more, derived series included: nothing is done twice.
            orthanc.ask("/modalities/stylesr/store", [study])
            assert log.read_text().count('"image own"') == 6
            assert log.read_text().count('"image duplicate"') == 6
    assert len(orthanc.series()) == 2
    told = log.read_text()
    assert SECRET_NAME not in told
    assert pydicom.dcmread(scan[0]).StudyInstanceUID not in told


def test_an_archive_that_is_down_gets_the_series_when_it_is_up_again(
    tmp_path: Path, stylesr_port: int, serve: Any, scan: list[Path], dcmtk: Any
) -> None:
    archive = Orthanc(tmp_path / "orthanc", stylesr_port)
    with serve("--to", archive.dicom) as log:
        sent = dcmtk("storescu", "-aec", "MEDSTYLESR", "127.0.0.1", stylesr_port, *scan)
        assert sent.returncode == 0, sent.stderr
        wait_for(lambda: '"delivery failed"' in log.read_text(), 600)
        with archive.started():
            wait_for(lambda: '"series delivered"' in log.read_text(), 60)
            (series,) = archive.series()
            require_linked(archive, series, scan)


def test_with_a_profile_nothing_that_identifies_reaches_the_destination(
    orthanc: Any, serve: Any, dcmtk: Any, stylesr_port: int, tmp_path: Path
) -> None:
    # Without edges, which could be burned-in text.
    scan = write_series(tmp_path / "scan", stack(6, shape=(64, 64)), GRADIENT, PatientName=SECRET_NAME)
    profile = ("--strength", "0", "--deidentify", "basic", "--key-file", str(tmp_path / "key"))
    with serve("--to", orthanc.dicom, enhance=profile):
        sent = dcmtk("storescu", "-aec", "MEDSTYLESR", "127.0.0.1", stylesr_port, *scan)
        assert sent.returncode == 0, sent.stderr
        series = derived_of(orthanc, scan[0])
    source = pydicom.dcmread(scan[0])
    for instance in series["Instances"]:
        told = str(orthanc.ask(f"/instances/{instance}/simplified-tags"))
        for secret in (SECRET_NAME, source.PatientID, source.StudyInstanceUID, source.SeriesInstanceUID):
            assert secret not in told


def test_dcmtk_is_answered_and_compressed_images_are_enhanced(
    orthanc: Any, serve: Any, scan: list[Path], dcmtk: Any, stylesr_port: int, tmp_path: Path
) -> None:
    compressed = []
    for path in scan:
        compressed.append(tmp_path / f"compressed-{path.name}")
        assert dcmtk("dcmcjpeg", "+e1", path, compressed[-1]).returncode == 0
    with serve("--to", orthanc.dicom):
        assert dcmtk("echoscu", "-aec", "MEDSTYLESR", "127.0.0.1", stylesr_port).returncode == 0
        assert dcmtk("echoscu", "-aec", "OTHER", "127.0.0.1", stylesr_port).returncode != 0
        sent = dcmtk("storescu", "-xs", "-aec", "MEDSTYLESR", "127.0.0.1", stylesr_port, *compressed)
        assert sent.returncode == 0, sent.stderr
        require_linked(orthanc, derived_of(orthanc, scan[0]), scan)


def test_dcmtk_over_tls_needs_a_certificate_that_we_trust(
    orthanc: Any, serve: Any, scan: list[Path], dcmtk: Any, stylesr_port: int, tmp_path: Path
) -> None:
    for name in ("server", "stranger"):
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        subprocess.run([*make, *files], check=True, capture_output=True)
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    tls = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-ca", str(cert))
    address = ("-aec", "MEDSTYLESR", "127.0.0.1", stylesr_port)
    with serve("--to", orthanc.dicom, *tls):
        assert dcmtk("echoscu", *address).returncode != 0
        stranger = ("+tls", tmp_path / "stranger.key", tmp_path / "stranger.pem", "+cf", cert)
        assert dcmtk("storescu", *stranger, *address, *scan).returncode != 0
        known = ("+tls", key, cert, "+cf", cert)
        sent = dcmtk("storescu", *known, *address, *scan)
        assert sent.returncode == 0, sent.stderr
        derived_of(orthanc, scan[0])


def test_pull_enhance_push_by_dicomweb_and_going_on_with_either(orthanc: Any, scan: list[Path], tmp_path: Path) -> None:
    runner, study = CliRunner(), str(pydicom.dcmread(scan[0]).StudyInstanceUID)
    pushed = runner.invoke(app, ["push", str(scan[0].parent), orthanc.web])
    assert "6 images sent" in pushed.output
    assert "6 were there already" in runner.invoke(app, ["push", str(scan[0].parent), orthanc.web]).output
    pull = ["pull", orthanc.web, str(tmp_path / "in"), "--study", study]
    assert "6 images fetched" in runner.invoke(app, pull).output
    fetched = sorted((tmp_path / "in").rglob("*.dcm"))
    originals = {str(dataset.SOPInstanceUID): dataset for dataset in map(pydicom.dcmread, scan)}
    for path in fetched:
        assert pydicom.dcmread(path) == originals[path.stem]
    fetched[2].unlink()
    assert "1 images fetched, 5 were there already" in runner.invoke(app, pull).output
    enhance = ["enhance", str(tmp_path / "in"), str(tmp_path / "out"), "--strength", "0", "--no-report"]
    subprocess.run([sys.executable, "-m", "med_stylesr", *enhance], check=True, capture_output=True)
    assert "6 images sent" in runner.invoke(app, ["push", str(tmp_path / "out"), orthanc.web]).output
    require_linked(orthanc, derived_of(orthanc, scan[0]), scan)


def test_an_unknown_study_and_wrong_credentials_are_told_in_one_line(
    tmp_path: Path, stylesr_port: int, scan: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "med_stylesr", "push", str(scan[0].parent)]
    with Orthanc(tmp_path / "orthanc", stylesr_port, {"ward": "a secret"}).started() as archive:
        refused = subprocess.run([*command, archive.web], capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "MED_STYLESR_DICOMWEB_USER" in refused.stderr
        monkeypatch.setenv("MED_STYLESR_DICOMWEB_USER", "ward")
        monkeypatch.setenv("MED_STYLESR_DICOMWEB_PASSWORD", "a secret")
        allowed = subprocess.run([*command, archive.web], capture_output=True, text=True, check=False)
        assert allowed.returncode == 0, allowed.stderr
        pull = [sys.executable, "-m", "med_stylesr", "pull", archive.web, str(tmp_path / "in"), "--study", "1.2.3"]
        unknown = subprocess.run(pull, capture_output=True, text=True, check=False)
        assert unknown.returncode == 2
        assert "has no images of this study" in unknown.stderr
