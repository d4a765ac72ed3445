"""`med-stylesr evaluate` end to end: files, folders, several methods, and what it refuses."""

import json
import re

import jsonschema
import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.errors import UsageError
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.volume import CTVolume

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def torso(seed):
    """Noise-free torso with lungs and spine, and band-limited noise for it: (6, 180, 180)."""
    y, x = np.mgrid[-90:90, -90:90] * 2.0
    hu = np.full((180, 180), -1000.0)
    hu[(x / 150) ** 2 + (y / 115) ** 2 < 1] = -100
    hu[(x / 140) ** 2 + (y / 105) ** 2 < 1] = 45 + seed
    for side in (-1, 1):
        hu[((x - side * 70) / 42) ** 2 + ((y + 25) / 55) ** 2 < 1] = -850
    hu[x**2 + (y - 70) ** 2 < 20**2] = 500
    clean = np.repeat(ndimage.gaussian_filter(hu, 0.6)[None], 6, axis=0)
    white = np.random.default_rng(seed).standard_normal((2, *clean.shape))
    noise = ndimage.gaussian_filter(white, (0, 0, 0.5, 0.5)) - ndimage.gaussian_filter(white, (0, 0, 2, 2))
    return clean, noise / noise.std()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two patients: normal dose, low dose (its noise and more), a good and a blurring method."""
    root = tmp_path_factory.mktemp("evaluate")
    for seed in (1, 2):
        clean, (own, added) = torso(seed)
        normal, low = clean + 10 * own, clean + 10 * own + 30 * added
        made = {
            "normal": normal,
            "low": low,
            "good": normal + 10 * added,
            "blur": ndimage.gaussian_filter(low, (0, 1.5, 1.5)),
        }
        for name, hu in made.items():
            (root / name).mkdir(exist_ok=True)
            volume = CTVolume(np.rint(hu).astype(np.int16), AFFINE)
            write_volume_file(volume, root / name / f"p{seed}.nii.gz")
    return root


@pytest.fixture(scope="module")
def run(folders):
    """One comparison of both methods and the input: exit status, output, folder."""
    out = folders / "quality"
    arguments = [folders / "good", folders / "normal", "--input", folders / "low", "--out", out, "--max-slices", 3]
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--method", f"blur={folders / 'blur'}"])
    return result, out


@pytest.fixture(scope="module")
def document(run):
    result, out = run
    assert result.exit_code == 0, result.output
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def test_metrics_follow_the_schema_that_lies_beside_them(run, document):
    schema = json.loads((run[1] / document["schema"]).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=None).validate(document)


def test_folders_are_paired_by_name_and_the_input_is_measured_too(document):
    assert {method: set(scans) for method, scans in document["methods"].items()} == {
        "enhanced": {"p1", "p2"},
        "blur": {"p1", "p2"},
        "input": {"p1", "p2"},
    }


def test_the_better_method_is_better_where_it_should_be(document):
    good, blur, low = (document["methods"][m]["p1"] for m in ("enhanced", "blur", "input"))
    assert good["fidelity"]["redcnn.psnr_db"]["mean"] > low["fidelity"]["redcnn.psnr_db"]["mean"] + 5
    assert good["hallucination"]["structure_loss"] < 0.1 < blur["hallucination"]["structure_loss"]
    assert blur["texture"]["cosine"] < good["texture"]["cosine"]
    assert blur["sharpness"]["image_f50_per_mm"] < 0.8 * good["sharpness"]["image_f50_per_mm"]
    assert all(abs(row["shift_hu"]) < 1 for row in good["bias"].values())
    # The added noise of 10 HU is independent of the scan's own 10 HU.
    assert good["texture"]["noise_sd_hu"] == pytest.approx(10 * np.sqrt(2), rel=0.1)


def test_differences_are_tested_and_adjusted(document):
    tests = document["comparison"]["tests"]
    assert document["comparison"]["unit"] == "slice"
    pairs = {(t["first"], t["second"]) for t in tests}
    assert pairs == {("enhanced", "blur"), ("enhanced", "input"), ("blur", "input")}
    assert all(t["p_holm"] >= t["p"] for t in tests)


def test_the_table_names_every_method(run):
    for word in ("enhanced", "blur", "input", "PSNR"):
        assert word in run[0].output


def test_the_page_is_self_contained(run):
    text = (run[1] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    for word in ("Bland–Altman", "d′", "redcnn", "Holm"):
        assert word in text


def test_earlier_results_are_not_overwritten_unasked(folders, run):
    arguments = ["evaluate", str(folders / "good"), str(folders / "normal"), "--out", str(run[1]), "--max-slices", "1"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert "--overwrite" in str(result.exception)


def test_unpaired_results_are_named_and_the_rest_is_measured(folders, tmp_path):
    extra = tmp_path / "good"
    extra.mkdir()
    for name, source in (("p1", "p1"), ("stranger", "p2")):
        (extra / f"{name}.nii.gz").write_bytes((folders / "good" / f"{source}.nii.gz").read_bytes())
    arguments = [str(extra), str(folders / "normal"), "--out", str(tmp_path / "q"), "--max-slices", "1", "--no-report"]
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 1
    assert "stranger" in result.stderr
    assert not (tmp_path / "q" / "report.html").exists()
    assert set(json.loads((tmp_path / "q" / "metrics.json").read_text())["methods"]["enhanced"]) == {"p1"}


@pytest.mark.parametrize("entry", ["nopath", "=x", "enhanced=x", "input=x"])
def test_bad_method_arguments_are_refused_with_a_way_out(folders, tmp_path, entry):
    arguments = [str(folders / "good"), str(folders / "normal"), "--out", str(tmp_path), "--method", entry]
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert isinstance(result.exception, UsageError)
    assert result.exception.todo


def test_nothing_to_pair_is_told(folders, tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("a", "b"):
        (tmp_path / "x" / f"{name}.nii.gz").write_bytes((folders / "good" / "p1.nii.gz").read_bytes())
    arguments = ["evaluate", str(tmp_path / "x"), str(folders / "normal"), "--out", str(tmp_path / "q")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)


def test_chosen_regions_are_measured_and_those_outside_a_scan_are_told(folders, tmp_path):
    arguments = ["evaluate", str(folders / "good" / "p1.nii.gz"), str(folders / "normal" / "p1.nii.gz"), "--no-report"]
    arguments += ["--max-slices", "1", "--out", str(tmp_path / "q")]
    # Soft tissue in front of the spine.
    result = CliRunner().invoke(app, [*arguments, "--roi", "2,88,80,20", "--roi", "3,88,80,20", "--roi", "4,88,80,20"])
    assert result.exit_code == 0, result.output
    texture = json.loads((tmp_path / "q" / "metrics.json").read_text())["methods"]["enhanced"]["p1"]["texture"]
    assert texture["regions"] == 3
    assert texture["roi_noise_sd_hu"] == pytest.approx(10 * np.sqrt(2), rel=0.15)
    assert texture["reference_roi_noise_sd_hu"] == pytest.approx(10, rel=0.15)
    outside = CliRunner().invoke(app, [*arguments, "--overwrite", "--roi", "2,170,80,20"])
    assert outside.exit_code != 0
    assert "lies outside the reference of 6 slices, 180 x 180 pixels" in outside.stderr


def test_distances_on_ct_features_favour_the_right_texture(document):
    good, blur = (document["methods"][m]["p1"]["distribution"] for m in ("enhanced", "blur"))
    assert "not Inception" in good["features"]
    assert good["kernel"] < blur["kernel"]
    assert good["gram"] < blur["gram"]


def evaluated(out, image, reference, root):
    for name, volume in (("image", image), ("reference", reference)):
        write_volume_file(volume, root / f"{name}.nii.gz")
    arguments = [root / "image.nii.gz", root / "reference.nii.gz", "--out", out, "--no-report", "--overwrite"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    told = json.loads((out / "metrics.json").read_text())["methods"] if (out / "metrics.json").exists() else {}
    return result, next(iter(next(iter(told.values())).values())) if told else None


def moved(column, row, k):
    affine = AFFINE.copy()
    affine[:3, 3] = AFFINE[:3, :3] @ (column, row, k)
    return affine


def test_what_a_result_does_not_cover_does_not_count_as_equal(tmp_path):
    """A piece of a scan must look as good as the scan is there, not as if the rest were perfect."""
    clean, (own, added) = torso(3)
    normal = CTVolume((clean + 10 * own).astype(np.float32), AFFINE)
    noisy = normal.hu + 20 * added.astype(np.float32)
    piece = CTVolume(noisy[1:, 40:140, 60:120], moved(60, 40, 1))
    result, figures = evaluated(tmp_path / "out", piece, normal, tmp_path)
    assert result.exit_code == 0, result.output
    inside = np.sqrt(np.mean((noisy - normal.hu)[1:, 40:140, 60:120] ** 2))
    assert figures["fidelity"]["full.rmse_hu"]["mean"] == pytest.approx(inside, rel=0.02)
    assert figures["coverage"] == pytest.approx(100 * 60 * 5 / (180 * 180 * 6), abs=1e-3)
    assert figures["slices"] == 5


def test_scans_of_different_places_are_refused(tmp_path):
    clean, _ = torso(4)
    far = CTVolume(clean.astype(np.float32), moved(1000, 0, 0))
    result, _ = evaluated(tmp_path / "out", far, CTVolume(clean.astype(np.float32), AFFINE), tmp_path)
    assert result.exit_code != 0
    assert "too little to compare" in result.output + str(result.exception)


@pytest.mark.parametrize("shape", [(1, 60, 60), (6, 8, 8)])
def test_a_scan_too_small_for_a_figure_does_not_end_the_run(tmp_path, shape):
    hu = np.random.default_rng(0).normal(40, 20, shape).astype(np.float32)
    result, figures = evaluated(tmp_path / "out", CTVolume(hu + 5, AFFINE), CTVolume(hu, AFFINE), tmp_path)
    assert "internal error" not in result.output
    assert not isinstance(result.exception, ValueError)
    assert (figures is not None) == (shape[1] > 11)
