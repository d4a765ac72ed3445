"""The MONAI wrappers: seeds, geometry, padding, and the same numbers as the modules they wrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.transforms.degrade import (
    RandDegrade,
    RandDegraded,
    SimulateLowDose,
    SimulateLowDosed,
    SimulateThickSlices,
    SimulateThickSlicesd,
)

AFFINE = np.array([[0, 0, -1.5, 40], [0, -1.5, 0, 30], [2.0, 0, 0, -7], [0, 0, 0, 1]])


def water() -> MetaTensor:
    axis = torch.arange(64.0) - 31.5
    disc = torch.where(axis**2 + axis[:, None] ** 2 < 28**2, 0.0, -1000.0).expand(2, -1, -1).clone()
    disc[:, :3] = -2000.0
    return MetaTensor(disc[None], affine=torch.as_tensor(AFFINE))


def low_dose(**changed: Any) -> SimulateLowDose:
    arguments: dict[str, Any] = {
        "dose_fraction": 0.25,
        "scanner": "ge-lightspeed",
        "kernel": "standard",
        "i0_photons": 2e5,
        "fallback_i0_photons": 2e5,
        "electronic_sd": 3.0,
        "thickness_mm": None,
    }
    return SimulateLowDose(**{**arguments, **changed})


def random_degradation(**changed: Any) -> RandDegrade:
    arguments: dict[str, Any] = {
        "prob": 1.0,
        "low_dose": low_dose(),
        "dose_range": (0.05, 1.0),
        "own_kernel_prob": 0.5,
        "f50_range_per_mm": (0.2, 0.8),
        "boost_range": (0.0, 2.0),
        "thickness_factors": [1, 2],
        "pixel_factors": [1, 2],
        "motion_range_px": (2.0, 5.0),
        "motion_prob": 0.5,
    }
    return RandDegrade(**{**arguments, **changed})


def test_seeds_reproduce_and_calls_differ() -> None:
    first, second = (low_dose().set_random_state(3) for _ in range(2))
    image = water()
    once, again = first(image), second(image)
    assert torch.equal(once, again)
    assert not torch.equal(first(image), once)


def test_the_wrapper_adds_the_simulators_noise_and_leaves_padding_alone() -> None:
    image, transform = water(), low_dose()
    result = transform.at_dose(image, 0.25, None, seed=5)
    simulator = LowDoseSimulator(SCANNERS["ge-lightspeed"], DetectorModel(electronic_sd=3.0))
    plain = image.as_tensor()[0]
    added = simulator.noise(
        plain, (2.0, 1.5, 1.5), 0.25, Calibration(2e5, KERNELS["standard"], tube_current_modulation=0.5), seed=5
    )
    expected = torch.where(plain < -1024, plain, (plain + added).clamp(min=-1024))
    assert torch.equal(result.as_tensor()[0], expected)
    np.testing.assert_allclose(result.affine, AFFINE)


def test_noise_never_turns_air_into_padding() -> None:
    """Training would not learn what the network takes for padding and passes through."""
    image = water()
    result = low_dose(i0_photons=1e4).at_dose(image, 0.05, None, seed=1)
    inside = image.as_tensor() >= -1024
    assert (result.as_tensor()[inside] == -1024).any()
    assert (result.as_tensor()[inside] >= -1024).all()


def test_scans_without_flat_tissue_fall_back_to_the_given_photons() -> None:
    image = MetaTensor(torch.full((1, 1, 40, 40), -800.0), affine=torch.as_tensor(AFFINE))
    assert torch.isfinite(low_dose(i0_photons=None, kernel=None)(image)).all()


def test_thick_slices_move_the_affine_to_their_centres() -> None:
    thick = SimulateThickSlices(4.0, 4.0, "rectangular")(water())
    assert thick.shape == (1, 1, 64, 64)
    expected = AFFINE.copy()
    expected[2, 0] = 4.0
    expected[2, 3] = -7 + 1.0
    np.testing.assert_allclose(thick.affine, expected)


def test_dictionary_transforms_seed_through_compose_and_keep_other_keys() -> None:
    chain = [
        SimulateLowDosed("image", low_dose()),
        SimulateThickSlicesd("image", SimulateThickSlices(2.0, 2.0, "smooth")),
    ]
    results = [Compose(chain).set_random_state(9)({"image": water(), "label": 1}) for _ in range(2)]
    assert torch.equal(results[0]["image"], results[1]["image"])
    assert results[0]["label"] == 1
    assert results[0]["image"].shape == (1, 2, 64, 64)


def test_random_degradation_is_reproducible_finite_and_varied() -> None:
    image = water()
    results = []
    for _ in range(2):
        transform = random_degradation()
        transform.set_random_state(1)
        results.append([transform(image) for _ in range(4)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
        assert torch.isfinite(one).all()
    assert len({tuple(r.shape) for r in results[0]}) > 1


def test_both_keys_of_a_random_degradation_are_degraded_alike() -> None:
    transform = RandDegraded(["image", "label"], random_degradation())
    transform.set_random_state(4)
    result = transform({"image": water(), "label": water()})
    assert torch.equal(result["image"], result["label"])


def test_probability_zero_gives_the_image_itself() -> None:
    image = water()
    assert random_degradation(prob=0.0)(image) is image


def test_images_without_a_channel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, slices, rows, columns\)"):
        low_dose()(torch.zeros(4, 64, 64))
