"""The report beside an enhanced scan: whole, self-contained, safe, and its lights tell good from bad."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.checks import checks
from med_stylesr.report.display import signed
from med_stylesr.report.enhance_report import flat_facts, write_enhance_report
from med_stylesr.report.gain import gains
from med_stylesr.report.measures import measure_pair
from med_stylesr.report.slides import slides
from med_stylesr.volume import CTVolume

FACTS = {"Source": "<img src=x onerror=alert(1)>", "model": {"name": "net", "weights": "ab12"}, "strength": 0.5}


class Outline(HTMLParser):
    """Collects what accessibility and self-containment are judged by."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.open = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if attrs.get("id"):
            assert attrs["id"] not in self.ids, f"id {attrs['id']} twice"
            self.ids.add(attrs["id"])


@pytest.fixture(scope="module")
def page(chest, tmp_path_factory):
    _, low, half = chest
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_enhance_report(path, low, half, {**FACTS, "strength_curve": [(0, 40), (0.5, 20), (1, 5)]})
    return path.read_text(encoding="utf-8")


def test_page_needs_nothing_from_outside(page):
    for _, attrs in Outline(page).tags:
        for name in ("src", "href"):
            assert attrs.get(name, "data:").startswith(("data:", "#"))
    assert "@import" not in page
    assert not re.search(r"url\(", page)


def test_text_from_headers_cannot_become_markup(page):
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_every_picture_control_and_table_can_be_named_by_a_screen_reader(page):
    outline = Outline(page)
    for tag, attrs in outline.tags:
        if tag == "img":
            assert attrs["alt"]
        if tag == "canvas":
            assert attrs["aria-label"]
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
        if "aria-labelledby" in attrs:
            assert attrs["aria-labelledby"] in outline.ids
    assert ("html", {"lang": "en"}) in outline.tags
    assert sum(tag == "h1" for tag, _ in outline.tags) == 1


def test_embedded_metrics_are_the_measured_ones(page):
    metrics = json.loads(re.search(r'id="metrics">(.*?)</script>', page, re.DOTALL).group(1))
    assert metrics["noise_before_hu"] == pytest.approx(40, rel=0.07)
    assert metrics["bands"]["low"] == pytest.approx(0.25, rel=0.01)
    assert abs(metrics["shifts"]["soft tissue"]["shift_hu"]) < 1


def test_a_faithful_result_is_all_green(chest):
    _, low, half = chest
    assert {c.verdict for c in checks(measure_pair(AlignedPair(low, half)))} == {"good"}


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (lambda hu: hu + 6, "HU of every tissue"),
        (lambda hu: ndimage.gaussian_filter(hu, (0, 0.8, 0.8)), "Sharpness at the skin"),
        (lambda hu: ndimage.gaussian_filter(hu, (0, 2, 2)), "Structure in what was removed"),
        (lambda hu: ndimage.gaussian_filter(hu, (0, 2, 2)), "Noise texture"),
        (lambda hu: hu + np.random.default_rng(0).normal(0, 60, hu.shape), "Noise"),
    ],
)
def test_damage_is_not_green(chest, damage, name):
    _, low, _ = chest
    bad = CTVolume(np.asarray(damage(low.hu), dtype=np.float32), low.affine)
    verdicts = {c.name: c.verdict for c in checks(measure_pair(AlignedPair(low, bad)))}
    assert verdicts[name] in ("fair", "poor")


def test_an_invented_nodule_is_reported_on_its_slice(chest):
    _, low, half = chest
    hu = half.hu.copy()
    hu[4, 76:84, 60:68] += 120
    measures = measure_pair(AlignedPair(low, CTVolume(hu, low.affine)))
    assert measures.oddest == 4


def test_super_resolved_and_empty_scans_get_a_report(chest, tmp_path):
    _, low, half = chest
    fine = CTVolume(np.kron(half.hu, np.ones((2, 2, 2), np.float32)), half.grid.super_resolved((2, 2, 2)).affine)
    write_enhance_report(tmp_path / "sr.html", low, fine, {})
    air = CTVolume(np.full((3, 40, 40), -1000, np.int16), np.eye(4))
    write_enhance_report(tmp_path / "air.html", air, air, {})
    assert "unknown" in (tmp_path / "air.html").read_text(encoding="utf-8")


def test_with_a_normal_dose_partner_the_page_tells_how_much_nearer_the_result_is(chest, tmp_path):
    clean, low, half = chest
    doubt = CTVolume(np.full(half.hu.shape, 2.0, np.float32), half.affine)
    write_enhance_report(tmp_path / "r.html", low, half, {}, title="A <b>", reference=clean, uncertainty=doubt)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "A &lt;b&gt;" in page
    assert "Nearer to normal dose" in page
    assert "uncertainty, the standard deviation" in page
    outline = Outline(page)
    assert all(attrs["alt"] for tag, attrs in outline.tags if tag == "img")
    for gain in gains(low, half, clean):
        assert gain.psnr_db[1] > gain.psnr_db[0]
        assert gain.ssim[1] > gain.ssim[0]


def test_noise_that_was_measured_before_is_told_and_the_share_that_stays_is_kept(chest):
    _, low, half = chest
    own, known = (measure_pair(AlignedPair(low, half), noise) for noise in (None, 31.5))
    assert known.noise_before_hu == 31.5
    assert known.noise_after_hu / 31.5 == pytest.approx(own.noise_after_hu / own.noise_before_hu)


def test_noise_of_a_scan_full_of_structure_is_told_by_what_was_removed(chest):
    _, low, half = chest
    y, x = np.mgrid[:160, :160]
    ripples = 60 * np.sin(y / 3) * np.sin(x / 3)
    busy, denoised = (CTVolume((v.hu + ripples).astype(np.float32), v.affine) for v in (low, half))
    measures = measure_pair(AlignedPair(busy, denoised))
    assert measures.noise_before_hu == pytest.approx(40, rel=0.15)
    assert measures.noise_after_hu == pytest.approx(20, rel=0.15)


def test_no_minus_zero_is_shown():
    assert [signed(value) for value in (-0.004, 0.0, -0.006, 1)] == ["0.00", "0.00", "-0.01", "+1.00"]


def test_one_slice_has_shifts_without_a_standard_error(chest, tmp_path):
    _, low, half = chest
    one, other = (CTVolume(v.hu[2:3], v.affine) for v in (low, half))
    write_enhance_report(tmp_path / "one.html", one, other, {})
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "Shift ± standard error" in page
    assert "± nan" not in page


def test_viewer_data_keep_to_their_size_and_number(chest):
    _, low, half = chest
    pair = AlignedPair(low, half)
    assert len(slides(pair, names=("a", "b"), max_slices=5)["slices"]) == 5
    small = slides(pair, names=("a", "b"), max_bytes=60_000)
    assert 1 <= len(small["slices"]) < 12
    assert sum(len(s["before"]) + len(s["after"]) for s in small["slices"]) < 90_000


def test_nested_provenance_becomes_flat_text():
    assert flat_facts({"a": {"b": 1.23456789}, "c": [1, 2], "d": None}) == {"a.b": "1.235", "c": "1, 2"}
