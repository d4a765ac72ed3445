"""The linked 3D page: whole, in place, bounded, and it runs in a browser."""

import base64
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from med_stylesr.cli.main import app
from med_stylesr.errors import UsageError
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.report.view_page import write_view_page
from med_stylesr.volume import CTVolume


def shown(page, folder):
    """The volumes inside a page, as CTVolumes."""
    volumes = json.loads(re.search(r'id="volumes">(.*?)</script>', page.read_text("utf-8"), re.DOTALL).group(1))
    result = []
    for index, volume in enumerate(volumes):
        file = folder / f"{index}.nii.gz"
        file.write_bytes(base64.b64decode(volume["nifti"]))
        result.append(read_volume_file(file))
    return result


def test_page_holds_both_scans_and_their_difference_at_their_place(chest, tmp_path):
    _, low, half = chest
    page = tmp_path / "view.html"
    assert write_view_page(page, low, half) == 1
    first, second, difference = shown(page, tmp_path)
    np.testing.assert_allclose(difference.hu, second.hu.astype(float) - first.hu, atol=1)
    index = first.grid.indices(low.grid.positions((80, 80, 5)))
    i, j, k = np.rint(index).astype(int)
    assert np.allclose(index, (i, j, k), atol=1e-3)
    assert first.hu[k, j, i] == pytest.approx(low.hu[5, 80, 80], abs=1)


def test_large_scans_are_averaged_and_keep_their_field_of_view(chest, tmp_path):
    _, low, half = chest
    page = tmp_path / "view.html"
    factor = write_view_page(page, low, half, max_voxels=100_000)
    assert factor == 2
    assert "averaged over 2 × 2" in page.read_text("utf-8")
    first = shown(page, tmp_path)[0]
    assert first.spacing_mm == pytest.approx((3, 4, 4))
    middle = first.grid.positions((first.hu.shape[2] / 2 - 0.5, first.hu.shape[1] / 2 - 0.5, 5))
    assert np.linalg.norm(middle[:2] - low.grid.positions((79.5, 79.5, 5))[:2]) < 6


def test_page_needs_nothing_from_outside(chest, tmp_path):
    _, low, half = chest
    page = tmp_path / "view.html"
    write_view_page(page, low, half)
    assert not re.search(r"<[^>]+(src|href)=\"(?!data:|#)", page.read_text("utf-8"))


def test_program_writes_the_page_and_refuses_to_replace_it(chest, tmp_path):
    _, low, half = chest
    for name, volume in (("low", low), ("half", half)):
        rounded = CTVolume(np.rint(volume.hu).astype(np.int16), volume.affine)
        write_volume_file(rounded, tmp_path / f"{name}.nii.gz")
    arguments = ["view", *(str(tmp_path / f"{n}.nii.gz") for n in ("low", "half")), "--out", str(tmp_path / "v.html")]
    assert CliRunner().invoke(app, [*arguments, "--no-open"]).exit_code == 0
    assert isinstance(CliRunner().invoke(app, [*arguments, "--no-open"]).exception, UsageError)


@pytest.mark.slow
def test_three_views_render_in_a_browser(chest, tmp_path, browse):
    _, low, half = chest
    page = tmp_path / "view.html"
    write_view_page(page, low, half)
    assert 'data-ready="3"' in browse(page)
