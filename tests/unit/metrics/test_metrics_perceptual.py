"""Perceptual figures against torchmetrics and against what their definitions demand."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    visual_information_fidelity,
)

from med_stylesr.metrics import perceptual as p
from med_stylesr.metrics.fidelity import CONVENTIONS


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :224]
    reference = 60 * np.sin(x / 9) * np.cos(y / 13) + 128 + 40 * (np.hypot(x - 110, y - 90) < 50)
    reference = ndimage.gaussian_filter(reference, 1) + rng.normal(0, 4, reference.shape)
    return reference + rng.normal(0, 15, reference.shape), reference


def tensors(*images):
    return [torch.from_numpy(image)[None, None] for image in images]


def test_ms_ssim_agrees_with_torchmetrics(pair):
    theirs = multiscale_structural_similarity_index_measure(*tensors(*pair), data_range=255.0)
    assert p.ms_ssim(*pair) == pytest.approx(float(theirs), abs=0.003)


def test_vif_agrees_with_torchmetrics(pair):
    assert p.vif(*pair) == pytest.approx(float(visual_information_fidelity(*tensors(*pair))), abs=1e-6)


def test_gmsd_follows_its_formula_on_a_step():
    # One image has an edge, the other has none: similarity is c / (m² + c) there and 1 elsewhere.
    step = np.zeros((40, 40))
    step[:, 20:] = 30
    values = np.ones((20, 20))
    values[:, 9:11] = 170 / (30**2 + 170)
    assert p.gmsd(step, np.zeros((40, 40))) == pytest.approx(values.std())


def test_equal_images_are_perfect_and_noise_makes_every_figure_worse(pair):
    convention = CONVENTIONS["soft300"]
    hu = pair[1] - 128
    same = p.perceptual(hu, hu, convention)
    assert same == {
        "ms_ssim": pytest.approx(1),
        "vif": pytest.approx(1),
        "gmsd": pytest.approx(0),
        "edge_preservation": pytest.approx(1),
    }
    rng = np.random.default_rng(1)
    steps = [p.perceptual(hu + rng.normal(0, sd, hu.shape), hu, convention) for sd in (5, 20, 60)]
    for name, sign in (("ms_ssim", -1), ("vif", -1), ("gmsd", 1), ("edge_preservation", -1)):
        values = [sign * step[name] for step in steps]
        assert values == sorted(values), name


def test_a_small_slice_has_no_ms_ssim():
    assert np.isnan(p.ms_ssim(np.zeros((64, 64)), np.zeros((64, 64))))
