"""`med-stylesr lesions` end to end: numbers that must be so whatever the weights, files, and what it refuses."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.enhancer import EnhanceOptions, Enhancer
from med_stylesr.inference.request import StrengthRequest
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.metrics.detectability import Task, insert_lesions
from med_stylesr.metrics.regions import flat_rois
from med_stylesr.service.lesions import LesionPlan, study_lesions
from med_stylesr.volume import CTVolume

FILES = ["lesions.html", "lesions.json", "lesions.png"]


@pytest.fixture(scope="module")
def water():
    """Four slices of water with white noise of 20 HU."""
    hu = np.random.default_rng(0).normal(40, 20, (4, 96, 96))
    return CTVolume(np.rint(hu).astype(np.int16), np.diag([0.75, 0.75, 2.5, 1.0]))


@pytest.fixture(scope="module")
def scan(water, tmp_path_factory):
    path = tmp_path_factory.mktemp("lesions") / "water.nii.gz"
    write_volume_file(water, path)
    return path


@pytest.fixture(scope="module")
def enhancer():
    return Enhancer(device="cpu", runtime="torch", precision="float32")


def plan(scan, **changes):
    given = {
        "sizes_mm": [3.0], "contrasts_hu": [-20.0], "styles": ["normal-dose"], "strengths": [0.0, 0.5],
        "dose_fraction": None, "pairs": 80, "blur_mm": 0.6,
    }  # fmt: skip
    return LesionPlan(scan, **{**given, **changes})


def test_strength_0_costs_nothing_and_another_is_what_enhance_makes_of_the_scan(scan, water, enhancer):
    events = []
    asked = plan(scan)
    document, results = study_lesions(asked, enhancer, events.append)
    told = document["lesions"][0]["results"]
    assert told["normal-dose 0"] == told["input"]
    assert told["input"]["contrast_kept"] == pytest.approx(1)
    rois = flat_rois(water.hu, water.spacing_mm, size_mm=asked.region_mm, count=80)
    lesions = insert_lesions(water.hu, rois, (0.75, 0.75), Task(3, -20), blur_mm=0.6)
    half = EnhanceOptions(request=StrengthRequest(strength=0.5))
    enhanced, _ = enhancer.enhance(CTVolume(lesions, water.affine), half)
    np.testing.assert_allclose(results[Task(3, -20)]["normal-dose 0.5"].example_hu, rois[0].cut(enhanced.hu), atol=1e-3)
    assert [event["source"] for event in events if event["event"] == "series"] == [
        "without lesions", "lesions of 3 mm, -20 HU",
    ]  # fmt: skip
    progress = [(event["done"], event["total"]) for event in events if event["event"] == "progress"]
    assert progress[-1] == (4, 4)


def test_a_dose_is_what_enhance_solves_on_the_scan_without_lesions(scan, water, enhancer):
    asked = plan(scan, strengths=[], dose_fraction=0.5)
    _, results = study_lesions(asked, enhancer, lambda event: None)
    rois = flat_rois(water.hu, water.spacing_mm, size_mm=asked.region_mm, count=80)
    lesions = ArraySlices(insert_lesions(water.hu, rois, (0.75, 0.75), Task(3, -20), blur_mm=0.6))
    options = EnhanceOptions(request=StrengthRequest(dose_fraction=0.5))
    solved = enhancer.open(ArraySlices(water.hu), water.spacing_mm, options).plan
    enhanced = np.concatenate([hu for _, hu in enhancer.open(lesions, water.spacing_mm, options, solved).slabs()])
    example = results[Task(3, -20)]["normal-dose --dose 0.5"].example_hu
    np.testing.assert_allclose(example, rois[0].cut(enhanced), atol=1e-3)


def test_files_appear_together_and_json_is_what_is_printed(scan, tmp_path):
    out = tmp_path / "out"
    arguments = ["lesions", str(scan), "--out", str(out), "--size", "3", "--contrast", "-20,20", "--strengths", "1"]
    more = ["--pairs", "80", "--runtime", "torch", "--precision", "float32"]
    result = CliRunner().invoke(app, [*arguments, *more, "--json"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == FILES
    document = json.loads((out / "lesions.json").read_text())
    assert json.loads(result.stdout) == document
    assert [lesion["contrast_hu"] for lesion in document["lesions"]] == [-20, 20]
    page = (out / "lesions.html").read_text()
    assert "Fewer than 200 regions" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    # A second run is refused before anything is computed.
    again = CliRunner().invoke(app, [*arguments, "--bundle", "ldct_stylesr_2d"])
    assert isinstance(again.exception, UsageError)
    assert "--overwrite" in str(again.exception)


def test_a_scan_without_flat_tissue_is_refused_and_leaves_nothing(tmp_path, enhancer):
    path = tmp_path / "air.nii.gz"
    write_volume_file(CTVolume(np.full((2, 64, 64), -1000, np.int16), np.diag([0.75, 0.75, 2.5, 1.0])), path)
    with pytest.raises(InputError, match="0 flat regions of soft tissue 8 mm wide, 60 are needed"):
        study_lesions(plan(path), enhancer, lambda event: None)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"sizes_mm": []}, "--size"),
        ({"sizes_mm": [0.0]}, "--size 0"),
        ({"contrasts_hu": [0.0]}, "--contrast 0"),
        ({"strengths": [1.5]}, "--strengths 1.5"),
        ({"strengths": []}, "--strengths"),
        ({"dose_fraction": 2.0}, "--dose 2"),
    ],
)
def test_numbers_that_mean_nothing_are_refused_before_anything_is_loaded(scan, wrong, named):
    with pytest.raises(UsageError, match=named):
        plan(scan, **wrong).check()


def test_a_bundle_that_adds_slices_is_refused(scan, tmp_path):
    result = CliRunner().invoke(app, ["lesions", str(scan), "--out", str(tmp_path), "--bundle", "ldct_stylesr_3d"])
    assert isinstance(result.exception, UsageError)
    assert "name a 2D bundle" in str(result.exception)


def test_a_list_that_is_none_is_one_line(scan, tmp_path):
    result = CliRunner().invoke(app, ["lesions", str(scan), "--out", str(tmp_path), "--size", "4;6"])
    assert isinstance(result.exception, UsageError)
    assert "separate numbers by commas" in str(result.exception)
