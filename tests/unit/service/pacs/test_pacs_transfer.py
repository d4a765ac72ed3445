"""pull and push: whole files only, going on where it stopped, and one clear line for whatever a service does wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomweb_server import DicomWeb
from pacs_peers import free_port, images
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.errors import InputError, UsageError
from med_stylesr.service.pacs.dicomweb import WebService
from med_stylesr.service.pacs.transfer import Tally, pull, push


@pytest.fixture
def web() -> Iterator[DicomWeb]:
    service = DicomWeb()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MED_STYLESR_DICOMWEB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def fetch(web: DicomWeb, dest: Path, *series: str) -> Tally:
    (study,) = {str(dataset.StudyInstanceUID) for dataset in web.images.values()}
    return pull(WebService(web.url, 5), study, series, dest, lambda line: None)


def bring(web: DicomWeb, source: Path, everything: bool = False) -> Tally:
    return push(WebService(web.url, 5), source, everything, lambda line: None)


def folder_of(tmp_path: Path, name: str = "scan", slices: int = 3) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for number, dataset in enumerate(images(name, slices)):
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def test_what_was_pulled_is_what_the_service_has(web: DicomWeb, tmp_path: Path) -> None:
    web.add(*images(slices=5))
    assert fetch(web, tmp_path / "in") == Tally(5, 0, [])
    for path in (tmp_path / "in").rglob("*.dcm"):
        assert pydicom.dcmread(path) == web.images[path.stem]
        assert path.parent.name == web.images[path.stem].SeriesInstanceUID


@pytest.mark.parametrize("heeds_offset", [True, False])
def test_a_service_that_tells_few_at_once_is_asked_again(web: DicomWeb, tmp_path: Path, heeds_offset: bool) -> None:
    web.add(*images(slices=5))
    web.page, web.heeds_offset = (2, True) if heeds_offset else (1000, False)
    assert fetch(web, tmp_path / "in").done == 5


def test_pulling_goes_on_where_it_stopped_and_tries_what_fails_again(web: DicomWeb, tmp_path: Path) -> None:
    web.add(*images(slices=5))
    web.faults["GET"] = [0, 0, 0, 0, 0, 0, *[503] * 20]
    stopped = fetch(web, tmp_path / "in")
    assert stopped.done == 2
    assert len(stopped.failed) == 3
    web.faults["GET"] = []
    before = web.count("GET")
    assert fetch(web, tmp_path / "in") == Tally(3, 2, [])
    # Series, instances (each with one more question for the rest), and three images.
    assert web.count("GET") - before == 4 + 3
    web.faults["GET"] = [0, 0, 0, 0, 503]
    assert fetch(web, tmp_path / "again") == Tally(5, 0, [])


def test_only_the_series_that_was_named_is_pulled(web: DicomWeb, tmp_path: Path) -> None:
    one, other = images("one"), images("other")
    for dataset in other:
        dataset.StudyInstanceUID = one[0].StudyInstanceUID
    web.add(*one, *other)
    assert fetch(web, tmp_path / "in", str(other[0].SeriesInstanceUID)).done == 3
    assert [p.name for p in (tmp_path / "in").iterdir()] == [other[0].SeriesInstanceUID]


def test_uids_of_a_hostile_service_become_no_path(web: DicomWeb, tmp_path: Path) -> None:
    evil = images(slices=1)[0]
    web.images["../../../evil"] = evil
    with pytest.raises(UsageError, match="is no DICOM UID"):
        fetch(web, tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_another_image_than_was_asked_for_is_not_taken(web: DicomWeb, tmp_path: Path) -> None:
    first, second = images(slices=2)
    web.add(first, second)
    web.swap = str(first.SOPInstanceUID)
    tally = fetch(web, tmp_path / "in")
    assert tally.done == 1
    assert len(tally.failed) == 1
    assert [p.stem for p in (tmp_path / "in").rglob("*.dcm")] == [first.SOPInstanceUID]


def test_an_unknown_study_is_told_as_such(web: DicomWeb, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no images"):
        pull(WebService(web.url, 5), "1.2.3", [], tmp_path, print)
    with pytest.raises(UsageError, match="is no DICOM UID"):
        pull(WebService(web.url, 5), "../1", [], tmp_path, print)


def test_what_was_pushed_is_there_and_is_not_pushed_again(web: DicomWeb, tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    (source / "notes.txt").write_text("no DICOM")
    assert bring(web, source) == Tally(3, 0, [])
    assert {str(d.SOPInstanceUID) for d in map(pydicom.dcmread, source.glob("*.dcm"))} == set(web.images)
    posts = web.count("POST")
    assert bring(web, source) == Tally(0, 3, [])
    assert web.count("POST") == posts
    assert bring(web, source, everything=True) == Tally(3, 0, [])


def test_an_image_that_is_refused_is_named_with_the_reason_and_other_series_are_sent(
    web: DicomWeb, tmp_path: Path
) -> None:
    bad, good = folder_of(tmp_path, "bad"), folder_of(tmp_path, "good")
    web.refused = {str(pydicom.dcmread(bad / "1.dcm").SOPInstanceUID)}
    tally = bring(web, tmp_path)
    assert tally.done >= 3
    (line,) = tally.failed
    assert "refused 1 images (reason 0xA700)" in line
    assert {str(d.SOPInstanceUID) for d in map(pydicom.dcmread, good.glob("*.dcm"))} <= set(web.images)


def test_a_damaged_file_and_a_second_one_of_the_same_uid_are_named(web: DicomWeb, tmp_path: Path) -> None:
    source = folder_of(tmp_path)
    (source / "copy.dcm").write_bytes((source / "0.dcm").read_bytes())
    (source / "damaged.dcm").write_bytes((source / "1.dcm").read_bytes()[:200])
    tally = bring(web, source)
    assert tally.done == 3
    assert len(tally.failed) == 2


@pytest.mark.parametrize(
    ("status", "told"), [(401, "credentials"), (403, "does not allow"), (507, "no space"), (500, "500")]
)
def test_a_status_is_told_in_words_and_the_answer_is_not_repeated(
    web: DicomWeb, tmp_path: Path, status: int, told: str
) -> None:
    web.faults["GET"] = [status]
    with pytest.raises(InputError, match=told) as caught:
        WebService(web.url, 5).instances("1.2.3")
    assert "Zaphod" not in str(caught.value)


def test_a_service_that_is_not_there_and_one_that_speaks_otherwise_are_told(web: DicomWeb, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        WebService(f"http://127.0.0.1:{free_port()}/x", 2).instances("1.2.3")
    web.add(*images(slices=1))
    web.images[next(iter(web.images))].SeriesInstanceUID = ""
    with pytest.raises(InputError, match=r"check that the URL|knows no such thing"):
        WebService(web.url.replace("dicom-web", "other"), 5).instances("1.2.3")


def test_credentials_come_from_the_environment_or_netrc_and_never_from_the_command_line(
    web: DicomWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown() -> str | None:
        WebService(web.url, 5).instances("1.2.3")
        return web.requests[-1][2].get("Authorization")

    assert shown() is None
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ward password secret\n")
    assert shown() == "Basic d2FyZDpzZWNyZXQ="
    monkeypatch.setenv("MED_STYLESR_DICOMWEB_TOKEN", "abc")
    assert shown() == "Bearer abc"
    result = CliRunner().invoke(app, ["push", str(tmp_path), "https://ward:secret@pacs/dicom-web"])
    assert isinstance(result.exception, UsageError)
    assert "secret" not in str(result.exception)


def test_credentials_do_not_travel_readable_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED_STYLESR_DICOMWEB_TOKEN", "abc")
    with pytest.raises(UsageError, match="unencrypted"):
        WebService("http://pacs.example/dicom-web", 5)
    WebService("https://pacs.example/dicom-web", 5)


def test_the_commands_tell_counts_and_exit_status(web: DicomWeb, tmp_path: Path) -> None:
    def run(*arguments: Any) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        return result.exit_code, result.output

    source = folder_of(tmp_path)
    assert run("push", source, web.url) == (0, "1 of 1 series\n3 images sent\n")
    study = next(iter(web.images.values())).StudyInstanceUID
    assert run("pull", web.url, tmp_path / "in", "--study", study) == (0, "3 of 3 images\n3 images fetched\n")
    web.refused, web.images = {str(u) for u in web.images}, {}
    status, output = run("push", source, web.url)
    assert status == 1
    assert "run the same command again" in output
