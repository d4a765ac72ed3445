"""Fidelity figures against their definitions and against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity, volume_fidelity


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    reference = 300 * np.sin(x / 9) * np.cos(y / 13) - 100
    reference[:20] = -1024
    return reference + rng.normal(0, 25, reference.shape), reference


@pytest.mark.parametrize("name", CONVENTIONS)
def test_psnr_and_ssim_agree_with_scikit_image(pair, name):
    convention = CONVENTIONS[name]
    pred, reference = (np.clip(x, convention.low, convention.high) for x in pair)
    ours = slice_fidelity(*pair, convention)
    options = (
        {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        if convention.ssim_window == "gaussian"
        else {}
    )
    assert ours["psnr_db"] == pytest.approx(
        peak_signal_noise_ratio(reference, pred, data_range=convention.data_range), abs=1e-9
    )
    assert ours["ssim"] == pytest.approx(
        structural_similarity(reference, pred, data_range=convention.data_range, **options), abs=1e-12
    )


@pytest.mark.parametrize(
    ("name", "low", "high", "data_range"),
    [
        ("redcnn", -160, 240, 400),
        ("soft300", -300, 300, 600),
        ("hu1000", -1000, 1000, 2000),
        ("ldct_chest", -1350, 149, 1499),
        ("ldct_abdomen", -150, 249, 399),
        ("ldct_neuro", 0, 79, 79),
    ],
)
def test_conventions_clip_where_their_users_do(name, low, high, data_range):
    convention = CONVENTIONS[name]
    assert (convention.low, convention.high, convention.data_range) == (low, high, data_range)


def test_full_range_convention_clips_nothing():
    assert CONVENTIONS["full"].apply(np.array([-3024.0, 9000.0])).tolist() == [-3024, 9000]


def test_equal_images_are_perfect(pair):
    values = slice_fidelity(pair[1], pair[1], CONVENTIONS["redcnn"])
    assert values == {"psnr_db": float("inf"), "ssim": pytest.approx(1), "rmse_hu": 0, "mae_hu": 0}


def test_a_constant_offset_is_its_own_rmse_and_mae(pair):
    values = slice_fidelity(pair[1] + 20.73, pair[1], CONVENTIONS["full"])
    assert values["rmse_hu"] == pytest.approx(20.73)
    assert values["mae_hu"] == pytest.approx(20.73)


def test_differences_outside_the_window_do_not_count(pair):
    far = np.where(pair[1] < -500, pair[1] - 400, pair[1])
    assert slice_fidelity(far, pair[1], CONVENTIONS["redcnn"])["rmse_hu"] == 0
    assert slice_fidelity(far, pair[1], CONVENTIONS["full"])["rmse_hu"] > 100


def test_body_figures_ignore_what_lies_outside_the_body(pair):
    body = pair[1] > -500
    changed = np.where(body, pair[0], -900)
    before, after = (slice_fidelity(p, pair[1], CONVENTIONS["full"], body) for p in (pair[0], changed))
    assert before["body_rmse_hu"] == after["body_rmse_hu"]
    assert before["rmse_hu"] != after["rmse_hu"]


def test_int16_input_is_accumulated_in_float64(pair):
    big = np.full((64, 64), 3071, dtype=np.int16)
    small = np.full((64, 64), -1024, dtype=np.int16)
    assert slice_fidelity(big, small, CONVENTIONS["full"])["rmse_hu"] == pytest.approx(4095)


def test_a_volume_gives_one_value_a_slice(pair):
    pred, reference = (np.stack([x, x + 1, x]) for x in pair)
    table = volume_fidelity(pred, reference, reference > -500)
    assert set(table) == set(CONVENTIONS)
    assert table["redcnn"]["body_ssim"].shape == (3,)
    assert table["full"]["rmse_hu"][0] == table["full"]["rmse_hu"][2]


def test_different_grids_are_refused(pair):
    with pytest.raises(ValueError, match="grids"):
        slice_fidelity(pair[0], pair[1][:-1], CONVENTIONS["full"])
