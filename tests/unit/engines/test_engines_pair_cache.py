"""Training pairs: targets are what theory says they are, batches repeat, every scale keeps the field of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from med_stylesr.engines.pair_batches import PairBatches
from med_stylesr.engines.pair_cache import SIMULATOR, STORED_PER_HU, NoiseDraw, cache_scan, open_cache, random_draws
from med_stylesr.engines.pair_plan import kept_noise
from med_stylesr.engines.paired import given_back
from med_stylesr.errors import InputError

PLAN = {
    "batch_size": 3,
    "patch": 16,
    "styles": ["normal-dose", "smooth", "as-is"],
    "trained_styles": ["smooth"],
    "dose_range": (0.1, 0.5),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy water disc of 10 slices with two draws of noise."""
    folder = tmp_path_factory.mktemp("cache")
    rows, columns = np.mgrid[:80, :80] - 39.5
    disc = np.where(np.hypot(rows, columns) < 36, 0.0, -1000.0)
    hu = disc + np.random.default_rng(0).normal(0, 8, (10, 80, 80)) * (disc == 0)
    cache_scan("disc", hu, (2.0, 2.0, 2.0), 2.0, [NoiseDraw(0.25), NoiseDraw(0.1, 0.4)], folder, seed=1)
    return folder


def test_pairs_of_another_simulator_are_not_added_to(tmp_path: Path) -> None:
    record = tmp_path / "disc.json"
    record.write_text(json.dumps({"simulator": SIMULATOR - 1}))
    with pytest.raises(InputError, match="another version of the simulator"):
        cache_scan("disc", np.zeros((1, 64, 64)), (2.0, 1.0, 1.0), 2.0, [NoiseDraw(0.25)], tmp_path, seed=1)
    for damaged in ("{", "[]"):
        record.write_text(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            cache_scan("disc", np.zeros((1, 64, 64)), (2.0, 1.0, 1.0), 2.0, [NoiseDraw(0.25)], tmp_path, seed=1)
    record.write_text(json.dumps({"simulator": SIMULATOR}))
    cache_scan("disc", np.zeros((1, 64, 64)), (2.0, 1.0, 1.0), 2.0, [NoiseDraw(0.25)], tmp_path, seed=1)
    assert [file.name for file in tmp_path.iterdir()] == ["disc.json"]


@pytest.mark.parametrize("dose", [0.1, 0.25, 0.6])
def test_targets_leave_the_promised_share_of_noise_after_mean_square_estimation(dose: float) -> None:
    """With own noise e and inserted noise n known only by their sum, the best estimate of e + c·n leaves d, √d or 1."""
    rng = np.random.default_rng(0)
    own = rng.normal(0, 1, 400_000)
    inserted = rng.normal(0, np.sqrt(1 / dose - 1), own.size)
    seen = own + inserted
    for style, share in (("smooth", dose), ("normal-dose", np.sqrt(dose)), ("as-is", 1.0)):
        target = own + kept_noise(style, dose) * inserted
        assert (target @ seen) / (seen @ seen) == pytest.approx(share, abs=0.01)


def test_a_prediction_given_back_its_share_of_noise_is_best_without_any_at_every_dose() -> None:
    """The best multiple of noise e + n of any mixture of doses, compared with e after d of it is given back, is 0."""
    rng = np.random.default_rng(0)
    dose = rng.uniform(0.05, 0.9, 400_000)
    own = rng.normal(0, 1, dose.size)
    seen = own + rng.normal(0, np.sqrt(1 / dose - 1))
    # Least squares of (1 - d) a x = e - d x.
    slope, wanted = (1 - dose) * seen, own - dose * seen
    assert (slope @ wanted) / (slope @ slope) == pytest.approx(0, abs=0.01)


def test_noise_is_given_back_to_noise_free_predictions_only() -> None:
    pred, noisy = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 8.0)
    compared, shown = given_back(pred, {"noisy": noisy, "kept": torch.tensor([0.0, 0.25])})
    assert compared.amax(dim=(1, 2, 3)).tolist() == [0.0, 2.0]
    assert shown.amax(dim=(1, 2, 3)).tolist() == [0.0, 4.0]


def _block_means(x: np.ndarray, scale: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Means over the blocks that one input voxel covers, and where nothing of a block was cut off at -1024 HU."""
    rest = len(scale)
    shape = [*x.shape[:-rest]]
    for size, factor in zip(x.shape[-rest:], scale, strict=True):
        shape += [size // factor, factor]
    blocks = x.reshape(shape)
    within = tuple(range(len(x.shape) - rest + 1, blocks.ndim, 2))
    whole = blocks.min(axis=within) > -1024
    assert whole.sum() > 100
    return blocks.mean(axis=within), whole


@pytest.mark.parametrize(("scale", "slices"), [([1, 1], 3), ([2, 2], 3), ([2, 1, 1], 2)])
def test_what_is_given_back_is_the_label_with_the_noise_of_the_input(
    cache: Path, scale: list[int], slices: int
) -> None:
    styles = ["smooth", "noise-free"]
    plan = {**PLAN, "styles": styles, "trained_styles": styles, "batch_size": 8, "scales": [scale], "slices": slices}
    batch = PairBatches(cache, 1, 1, **plan)[0]
    image = batch["image"][:, 1:2] if len(scale) == 2 else batch["image"]
    noisy, whole = _block_means(batch["noisy"].numpy(), scale)
    np.testing.assert_allclose(noisy[whole], image.numpy()[whole], atol=1e-2)
    # Only a style of its own is given noise back, in proportion to the dose.
    low, high = PLAN["dose_range"]
    assert all(
        low <= kept <= high if style else kept == 0 for kept, style in zip(batch["kept"], batch["style"], strict=True)
    )


def test_quiet_samples_count_more_if_asked_for(cache: Path) -> None:
    def weights(power: float, dose: float) -> torch.Tensor:
        plan = {**PLAN, "dose_range": (dose, dose), "noise_power": power, "scales": [[1, 1]], "slices": 1}
        return PairBatches(cache, 1, 1, **plan)[0]["weight"]

    assert (weights(0.0, 0.5) == 1).all()
    assert weights(1.0, 0.5).mean() > 1.5 * weights(1.0, 0.1).mean()


def test_an_unknown_style_has_no_target() -> None:
    with pytest.raises(ValueError, match="vivid"):
        kept_noise("vivid", 0.5)


def test_a_cached_scan_comes_back_with_noise_of_its_dose(cache: Path) -> None:
    (scan,) = open_cache(cache)
    assert scan.hu.shape == (10, 80, 80)
    assert scan.doses == (0.25, 0.1)
    inside = np.s_[:, 25:55, 25:55]
    sd = [float((scan.noise[i][inside] / STORED_PER_HU).std()) for i in range(2)]
    own = float(scan.hu[inside].std())
    assert sd[0] == pytest.approx(own * np.sqrt(1 / 0.25 - 1), rel=0.25)
    assert sd[1] == pytest.approx(own * np.sqrt(1 / 0.1 - 1), rel=0.25)


def test_a_missing_cache_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data prepare"):
        open_cache(tmp_path)


def test_draws_start_with_the_scans_own_texture_and_cover_soft_and_sharp() -> None:
    draws = random_draws([0.25] * 40, 2, seed=0)
    assert [d.f50_per_mm for d in draws[:2]] == [None, None]
    others = [d.f50_per_mm for d in draws[2:] if d.f50_per_mm]
    assert min(others) < 0.3
    assert max(others) > 0.6


@pytest.mark.parametrize(("scale", "slices"), [([1, 1], 3), ([2, 2], 3), ([2, 1, 1], 2), ([5, 1, 1], 2)])
def test_image_is_the_block_mean_of_the_label_and_its_kept_noise(cache: Path, scale: list[int], slices: int) -> None:
    """Style `as-is` keeps all noise: averaging its label back must give the input exactly."""
    batches = PairBatches(cache, 2, 1, **{**PLAN, "trained_styles": ["as-is"], "scales": [scale], "slices": slices})
    batch = batches[0]
    image = batch["image"][:, 1:2].numpy() if len(scale) == 2 else batch["image"].numpy()
    back, whole = _block_means(batch["label"].numpy(), scale)
    np.testing.assert_allclose(back[whole], image[whole], atol=1e-3)
    assert batch["style"].tolist() == [2, 2, 2]


def test_batches_repeat_by_seed_and_differ_by_epoch(cache: Path) -> None:
    first, second = (PairBatches(cache, 4, 7, **PLAN, scales=[[1, 1]], slices=1) for _ in range(2))
    assert (first[2]["image"] == second[2]["image"]).all()
    second.set_random_state(seed=5)
    assert not (first[2]["image"] == second[2]["image"]).all()
    assert len(list(first)) == 4


VARIETY = {"mix": 1.0, "refilter": 1.0, "magnify": 0.5, "halve": 0.2}


def test_varied_pairs_stay_pairs(cache: Path) -> None:
    """Other kernels, pixel sizes and realisations change input and target alike: without noise they are equal."""
    plan = {**PLAN, "trained_styles": ["smooth"], "dose_range": (1.0, 1.0), "variety": VARIETY}
    for batch in PairBatches(cache, 4, 1, **plan, scales=[[1, 1]], slices=3):
        clipped = batch["image"][:, 1:2].clamp(-1024, 3071)
        np.testing.assert_allclose(clipped.numpy(), batch["label"].numpy(), atol=1e-3)


def test_variety_leaves_the_block_mean_in_place(cache: Path) -> None:
    plan = {**PLAN, "trained_styles": ["as-is"], "variety": VARIETY, "patch": 8}
    batch = PairBatches(cache, 1, 1, **plan, scales=[[2, 2]], slices=3)[0]
    label = batch["label"].numpy()
    back = label.reshape(len(label), 1, 8, 2, 8, 2).mean(axis=(3, 5))
    # Ringing around the disc is clipped in the target, and in the input only before noise is added.
    inside = label.reshape(len(label), 1, 8, 2, 8, 2).min(axis=(3, 5)) > -1000
    assert inside.sum() > 10
    np.testing.assert_allclose(back[inside], batch["image"][:, 1:2].numpy()[inside], atol=1e-2)


def test_a_kernel_style_asks_for_its_kernel_whatever_the_inputs(cache: Path) -> None:
    """Inputs of many kernels, targets of one: the spread of the target's sharpness is the smaller one."""
    plan = {
        **PLAN,
        "styles": ["normal-dose", "smooth", "as-is", "soft"],
        "trained_styles": ["soft"],
        "dose_range": (1.0, 1.0),
        "batch_size": 24,
        "patch": 24,
        "variety": {"refilter": 1.0},
        "kernel_styles": {"soft": {"f50_per_mm": 0.1, "order": 2.0, "boost": 0.0, "input_boost": 4.0}},
    }
    batch = PairBatches(cache, 1, 3, **plan, scales=[[1, 1]], slices=1)[0]

    def roughness(x: np.ndarray) -> np.ndarray:
        return np.log(np.abs(np.diff(x, axis=-1)).mean(axis=(1, 2, 3)) + 1e-6)

    water = batch["label"].numpy().min(axis=(1, 2, 3)) > -200
    assert water.sum() > 3
    image, label = roughness(batch["image"].numpy()[water]), roughness(batch["label"].numpy()[water])
    assert label.std() < 0.6 * image.std()
    assert batch["style"].tolist() == [3] * 24


def test_kernel_styles_are_for_scale_one(cache: Path) -> None:
    plan = {
        **PLAN,
        "styles": ["smooth", "soft"],
        "trained_styles": ["smooth", "soft"],
        "kernel_styles": {"soft": {"f50_per_mm": 0.2, "order": 2.0, "boost": 0.0}},
        "batch_size": 12,
    }
    batch = PairBatches(cache, 1, 3, **plan, scales=[[2, 2]], slices=1)[0]
    assert set(batch["style"].tolist()) == {0}


def test_what_adversaries_hold_for_real_has_normal_dose_noise(cache: Path) -> None:
    """The target of `normal-dose` has noise on top of it, that of `as-is` is real as it stands."""
    plan = {**PLAN, "styles": ["normal-dose", "as-is"], "patch": 32, "batch_size": 8, "dose_range": (0.1, 0.1)}
    for style, more in (("normal-dose", True), ("as-is", False)):
        batch = PairBatches(cache, 1, 3, **{**plan, "trained_styles": [style]}, scales=[[1, 1]], slices=1)[0]
        difference = batch["label"] - batch["real"]
        assert (float(difference.std()) > 1) is more


def test_a_reference_shows_the_wanted_kernel_and_not_the_inputs(cache: Path) -> None:
    """Over many kernels, the sharpness of references follows that of the targets."""
    plan = {
        **PLAN,
        "dose_range": (1.0, 1.0),
        "batch_size": 48,
        "patch": 24,
        "variety": {"refilter": 1.0},
        "references": {"probability": 1.0, "size": 24},
    }
    batch = PairBatches(cache, 1, 3, **plan, scales=[[1, 1]], slices=1)[0]
    label, style, image = (batch[key][:, :1].numpy() for key in ("label", "style", "image"))
    assert style.shape == (48, 1, 24, 24)
    water = (label.min(axis=(1, 2, 3)) > -200) & (style.min(axis=(1, 2, 3)) > -200)
    assert water.sum() > 8

    def roughness(x: np.ndarray) -> np.ndarray:
        return np.log(np.abs(np.diff(x[water], axis=-1)).mean(axis=(1, 2, 3)))

    assert np.corrcoef(roughness(style), roughness(label))[0, 1] > 0.8
    assert abs(np.corrcoef(roughness(style), roughness(image))[0, 1]) < 0.6


def test_references_are_for_scale_one(cache: Path) -> None:
    plan = {**PLAN, "references": {"probability": 1.0, "size": 16}}
    assert PairBatches(cache, 1, 3, **plan, scales=[[2, 2]], slices=3)[0]["style"].dtype == torch.int64


def _air_and_padding(cache: Path, folder: Path) -> Path:
    """The cached disc with padding marks in its left part, and noise inserted there nevertheless."""
    for file in cache.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    hu = np.load(folder / "disc.hu.npy")
    hu[:, :, :30] = -3024
    np.save(folder / "disc.hu.npy", hu)
    return folder


def test_air_is_seen_as_scanners_store_it_and_padding_without_noise(cache: Path, tmp_path: Path) -> None:
    """No input lies below the scale of HU; outside the field of view nothing is measured that a dose could change."""
    _air_and_padding(cache, tmp_path)
    plan = {**PLAN, "patch": 64, "dose_range": (0.02, 0.02), "batch_size": 4, "air": 1.0}
    batch = PairBatches(tmp_path, 1, 1, **plan, scales=[[1, 1]], slices=3)[0]
    image, label = batch["image"][:, 1:2], batch["label"]
    assert image.min() == label.min() == -1024
    # Air of -1000 HU is noisy on both sides of its mean, padding is not.
    assert image[(label > -1020) & (label < -900)].std() > 10
    rows = (label == -1024).all(dim=-2, keepdim=True) | (label == -1024).all(dim=-1, keepdim=True)
    padding = rows.expand_as(label) & (label == -1024)
    assert padding.sum() > 100
    assert (image[padding] == -1024).all()


def test_patches_of_air_are_drawn_if_asked_for(cache: Path) -> None:
    def air(share: float) -> float:
        plan = {**PLAN, "batch_size": 64, "patch": 16, "air": share}
        label = PairBatches(cache, 1, 1, **plan, scales=[[1, 1]], slices=1)[0]["label"]
        return float(((label < -950).float().mean(dim=(1, 2, 3)) > 0.5).float().mean())

    assert air(0.0) < 0.05
    assert air(1.0) > 0.1


def test_skewed_doses_stay_in_range_and_are_lower(cache: Path) -> None:
    plan = {**PLAN, "batch_size": 64, "patch": 8, "scales": [[1, 1]], "slices": 1, "dose_range": (0.1, 1.0)}
    strength = []
    for skew in (1.0, 3.0):
        batch = PairBatches(cache, 1, 3, **plan, dose_skew=skew)[0]
        strength.append(float((batch["image"] - batch["label"]).abs().mean()))
        assert bool(torch.isfinite(batch["image"]).all())
    assert strength[1] > 1.3 * strength[0]


def test_thicker_slices_are_quieter_and_own_noise_makes_scans_louder(cache: Path) -> None:
    """Twice as thick: 1/√2 of the noise. As much noise again: √2."""
    plan = {**PLAN, "batch_size": 48, "patch": 16, "scales": [[1, 1]], "slices": 1, "dose_range": (0.999, 1.0)}

    def noise(variety: dict[str, float]) -> float:
        label = PairBatches(cache, 1, 3, **plan, variety=variety)[0]["label"].numpy()
        water = label[np.abs(label).max(axis=(1, 2, 3)) < 150]
        assert len(water) > 6
        return float(water.std())

    plain = noise({"mix": 1.0})
    assert noise({"mix": 1.0, "thicken": 1.0, "thickest_mm": 4.0}) == pytest.approx(plain / np.sqrt(2), rel=0.12)
    many = noise({"mix": 1.0, "own": 1.0})
    assert plain * 1.05 < many < plain * 1.4
