"""Pictures and the small page: whole, self-contained, and true."""

import numpy as np
import pytest
from PIL import Image

from med_stylesr.report.comparison import Comparison, body_box, fullest_slice
from med_stylesr.volume import CTVolume


def test_figures_tell_noise_and_shift(chest):
    clean, low, half = chest
    comparison = Comparison(low, half, clean)
    assert comparison.measures.noise_before_hu == pytest.approx(40, rel=0.07)
    assert comparison.measures.noise_after_hu == pytest.approx(20, rel=0.07)
    assert abs(comparison.measures.worst_shift[1]) < 1
    assert comparison.measures.bands["low"] == pytest.approx(0.25, rel=1e-3)


def test_a_shift_of_one_tissue_is_named(chest):
    _, low, half = chest
    shifted = half.with_hu(np.where(half.hu < -700, half.hu + 6, half.hu).astype(np.float32))
    assert Comparison(low, shifted).measures.worst_shift[0] in ("lung", "air")


def test_picture_gets_wider_with_a_reference_panel(chest, tmp_path):
    clean, low, half = chest
    Comparison(low, half).write_png(tmp_path / "two.png")
    Comparison(low, half, clean).write_png(tmp_path / "three.png", slice_index=3, windows=["bone"])
    two, three = Image.open(tmp_path / "two.png"), Image.open(tmp_path / "three.png")
    assert three.width > 1.2 * two.width
    assert three.height < two.height


def test_super_resolved_result_is_compared_on_common_positions(chest, tmp_path):
    _, low, half = chest
    fine = CTVolume(np.kron(half.hu, np.ones((1, 2, 2), np.float32)), half.grid.super_resolved((1, 2, 2)).affine)
    comparison = Comparison(low, fine)
    assert abs(comparison.measures.worst_shift[1]) < 1
    comparison.write_png(tmp_path / "sr.png", slice_index=4)
    assert (tmp_path / "sr.png").stat().st_size > 10_000


def test_a_scan_without_tissue_is_pictured_without_figures(tmp_path):
    empty = CTVolume(np.full((2, 40, 40), -1000, dtype=np.float32), np.eye(4))
    comparison = Comparison(empty, empty)
    assert comparison.measures.noise_before_hu is None
    comparison.write_png(tmp_path / "empty.png")


def test_the_body_box_holds_the_body_and_a_margin(chest):
    rows, columns = body_box(chest[1].hu, chest[1].spacing_mm)
    assert columns.start <= 2
    assert columns.stop >= 158
    assert 15 <= rows.start <= 21
    assert 0 <= fullest_slice(chest[1].hu) < 12
