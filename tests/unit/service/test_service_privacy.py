"""Names made of what a header claims: nobody leaves DEST, nobody shares a folder; with a profile nothing is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from phantoms import BODY, Scene, stack, write_series

from med_stylesr.deid.profile import profile_folder
from med_stylesr.errors import UsageError


def inside(place: Path, root: Path) -> bool:
    return root.resolve() in place.resolve().parents


@pytest.mark.parametrize(
    "patient", ["../../x", "/etc/passwd", "..", "a\\..\\b", "P" * 64, "CON", ".hidden", "x\tz", "a\0b", "", "~", "名前"]
)
def test_a_hostile_patient_id_stays_inside_dest(tmp_path: Path, enhance: Any, patient: str) -> None:
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        write_series(
            tmp_path / "in" / "a",
            stack(1, shape=(32, 32)),
            BODY,
            PatientID=patient or None,
            SpecificCharacterSet="ISO_IR 192",
        )
    finally:
        pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    run = enhance(tmp_path / "in", tmp_path / "out")
    assert run.status == 0
    (place,) = run.outputs
    assert inside(place, tmp_path / "out")
    assert len(place.relative_to(tmp_path / "out").parts) == 2
    assert re.fullmatch(r"[^./\\][^/\\]{0,63}", place.parent.name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_hostile_uids_do_not_become_paths(tmp_path: Path, enhance: Any) -> None:
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        write_series(tmp_path / "in" / "a", stack(1, shape=(32, 32)), BODY, SeriesInstanceUID="../../../1.2.3")
    finally:
        pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    for number, format in enumerate(("auto", "nifti")):
        run = enhance(tmp_path / "in", tmp_path / f"out{number}", format=format)
        assert all(inside(place, tmp_path / f"out{number}") for place in run.outputs)
    assert {p.name for p in tmp_path.iterdir()} <= {"in", "out0", "out1"}


def test_two_patients_never_share_a_folder_because_their_ids_look_alike_once_made_safe(
    tmp_path: Path, enhance: Any
) -> None:
    for name, patient in (("a", "A/B"), ("b", "A:B"), ("c", "A_B")):
        write_series(tmp_path / "in" / name, stack(1, shape=(32, 32)), BODY, PatientID=patient)
    run = enhance(tmp_path / "in", tmp_path / "out")
    folders = {place.parent.name for place in run.outputs}
    assert len(folders) == 3
    assert "A_B" in folders


SMOOTH = Scene(background_hu=40.0, gradient_hu_per_mm=(1.0, 0.5, 0.5))
"""No sharp edges, which the search for burned-in text would take for letters."""

SECRETS = {
    "PatientID": "ZQX4711",
    "PatientName": "Wolkenstein^Amalie",
    "PatientBirthDate": "19430217",
    "StudyDate": "20181129",
    "SeriesDescription": "Wolkenstein follow up",
    "AccessionNumber": "ACC998877",
    "InstitutionName": "Sankt Irgendwo",
}


@pytest.fixture
def identified(tmp_path: Path) -> Path:
    source = tmp_path / "Wolkenstein" / "ZQX4711"
    write_series(source / "a", stack(3, shape=(64, 64)), SMOOTH, **SECRETS)
    write_series(source / "b", stack(2, shape=(64, 64)), SMOOTH, **SECRETS)
    image = nibabel.Nifti1Image(np.zeros((32, 32, 3), np.int16), np.eye(4))
    image.header["descrip"] = b"Wolkenstein"
    nibabel.save(image, source / "Wolkenstein.nii")
    (broken,) = write_series(source / "broken", stack(1, shape=(32, 32)), BODY, **SECRETS)
    broken.write_bytes(broken.read_bytes()[:-700])
    (source / "ZQX4711.txt").write_text("Wolkenstein")
    return tmp_path / "Wolkenstein"


def test_with_a_profile_no_identifier_of_the_source_is_in_any_file_or_name(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    key = tmp_path / "secret.key"
    run = enhance(identified, tmp_path / "out", deidentify="basic", key_file=key, report=True)
    assert len(run.entries("done")) == 3
    forbidden = {"Wolkenstein", "Amalie", "ZQX4711", "ACC998877", "Irgendwo", "19430217", "20181129"}
    for path in identified.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        forbidden |= {str(e.value) for e in header if e.keyword.endswith("InstanceUID")}
        forbidden.add(str(header.FrameOfReferenceUID))
    seen = 0
    for path in (tmp_path / "out").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        seen += bool(content)
        for word in forbidden:
            assert word not in str(path.relative_to(tmp_path / "out"))
            assert word.encode() not in content, f"{word} in {path.name}"
            assert word.lower().encode() not in content.lower()
    assert seen >= 3 + 5 + 1


def test_the_screen_still_says_which_input_failed(tmp_path: Path, identified: Path, enhance: Any) -> None:
    run = enhance(identified, tmp_path / "out", deidentify="basic", key_file=tmp_path / "secret.key")
    problems = [e for e in run.events if e.get("problem") or e["event"] == "failed"]
    assert len(problems) == 1
    assert "broken" in problems[0]["reason"]


def test_one_key_gives_the_same_pseudonyms_and_another_key_others(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    def names(dest: str, key: str) -> set[str]:
        run = enhance(identified, tmp_path / dest, deidentify="basic", key_file=tmp_path / key)
        return {str(place.relative_to(tmp_path / dest)) for place in run.outputs}

    first, second, other = names("one", "a.key"), names("two", "a.key"), names("three", "b.key")
    assert first == second
    assert not first & other


def test_resuming_needs_the_key_and_goes_on_with_it(tmp_path: Path, identified: Path, enhance: Any) -> None:
    key, dest = tmp_path / "a.key", tmp_path / "out"
    enhance(identified, dest, deidentify="basic", key_file=key)
    with pytest.raises(UsageError, match="key"):
        enhance(identified, dest, resume=True, deidentify="basic")
    run = enhance(identified, dest, resume=True, deidentify="basic", key_file=key)
    assert not run.event("done")
    assert len(run.entries("done")) == 3


def test_deidentified_results_are_not_mixed_with_identified_ones(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    enhance(identified, tmp_path / "out")
    with pytest.raises(UsageError, match="not at all"):
        enhance(identified, tmp_path / "out", overwrite=True, deidentify="basic")


def test_identified_results_are_not_put_beside_deidentified_ones(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    key, dest = tmp_path / "key", tmp_path / "out"
    enhance(identified, dest, deidentify="basic", key_file=key)
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="de-identified otherwise"):
            enhance(identified, dest, **how)
    assert "Wolkenstein" not in (dest / "manifest.json").read_text()


def test_results_of_a_profile_as_it_was_are_not_mixed_with_those_of_what_it_became(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    key, dest, profile = tmp_path / "key", tmp_path / "out", tmp_path / "secret-trial" / "ours.yaml"
    profile.parent.mkdir()
    profile.write_text((profile_folder() / "basic.yaml").read_text())
    run = enhance(identified, dest, deidentify=str(profile), key_file=key)
    again = enhance(identified, dest, deidentify=str(profile), key_file=key, resume=True)
    assert run.event("done")
    assert not again.event("done")
    assert "secret-trial" not in (dest / "manifest.json").read_text()
    profile.write_text(profile.read_text() + "\n# stricter\n")
    with pytest.raises(UsageError, match="de-identified otherwise"):
        enhance(identified, dest, deidentify=str(profile), key_file=key, resume=True)


def test_the_manifest_does_not_let_anybody_try_guesses_of_the_source(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    """A plain digest of UIDs would tell whoever knows them that this scan is theirs."""
    runs = [enhance(identified, tmp_path / n, deidentify="basic", key_file=tmp_path / f"{n}.key") for n in "ab"]
    prints = [{e["fingerprint"] for e in run.entries("done")} for run in runs]
    assert not prints[0] & prints[1]
    assert "a.key" not in json.dumps(runs[0].manifest)


def test_a_profile_that_changes_pixels_is_refused_since_results_would_show_them(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    with pytest.raises(UsageError, match="med-stylesr deidentify"):
        enhance(identified, tmp_path / "out", deidentify="share-minimal")


def test_a_series_does_not_lose_its_search_for_burned_in_text_by_becoming_a_volume(
    tmp_path: Path, identified: Path, enhance: Any
) -> None:
    run = enhance(identified, tmp_path / "out", deidentify="basic", format="nifti")
    assert {e["kind"] for e in run.entries("done")} == {"volume"}
