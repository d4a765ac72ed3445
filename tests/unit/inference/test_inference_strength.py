"""Automatic strength: the noise that is asked for is the noise that is left."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.inference.strength import MOST_GAIN, StrengthRequest, plan_strength
from med_stylesr.networks.generator import StyleSRGenerator

SPACING = (2.0, 0.8, 0.8)


class Halver(TorchRuntime):
    """A runtime whose correction leaves half of the deviation from 50 HU, and none of it at style `smooth`."""

    def __init__(self, normal: float = 0.5, smooth: float = 0.95) -> None:
        super().__init__(StyleSRGenerator(2, 1, (4,), (1,), (1, 1), 1))
        with torch.no_grad():
            self.network.style_bank.copy_(torch.tensor([[normal], [smooth], [0.5], [0.5]]))

    @torch.inference_mode()
    def run(self, image: Tensor, code: Tensor, scale: object) -> tuple[Tensor, Tensor]:
        return image, code[0, 0] * (50 - image)


def scan() -> np.ndarray:
    return np.random.default_rng(0).normal(50, 20, (6, 128, 128)).astype(np.float32)


def plan(**request: float) -> tuple[float, float, float, float]:
    made = plan_strength(ArraySlices(scan()), Halver(), "normal-dose", StrengthRequest(**request), SPACING)
    assert made.noise_before_hu is not None
    assert made.noise_after_hu is not None
    return made.strength, made.towards_smooth, made.noise_before_hu, made.noise_after_hu


@pytest.mark.parametrize("dose", [0.3, 0.5, 0.9])
def test_a_given_dose_leaves_the_root_of_it_of_the_noise(dose: float) -> None:
    strength, smooth, before, after = plan(dose_fraction=dose)
    assert smooth == 0
    assert after / before == pytest.approx(math.sqrt(dose), rel=0.02)
    assert 1 - 0.5 * strength == pytest.approx(math.sqrt(dose), rel=0.02)


def test_less_noise_than_the_style_leaves_is_reached_towards_smooth() -> None:
    strength, smooth, before, after = plan(dose_fraction=0.1)
    assert strength == 1
    assert 0 < smooth < 1
    assert after / before == pytest.approx(math.sqrt(0.1), rel=0.1)


def test_a_target_noise_is_met_and_an_unreachable_one_is_told() -> None:
    assert plan(target_noise_hu=14.0)[3] == pytest.approx(14.0, rel=0.02)
    request = StrengthRequest(target_noise_hu=2)
    made = plan_strength(ArraySlices(scan()), Halver(0.2, 0.3), "normal-dose", request, SPACING)
    assert "cannot be reached" in made.warnings[0]
    assert made.gain == pytest.approx(MOST_GAIN)


def test_a_network_that_takes_too_little_is_amplified_up_to_the_noise_asked_for() -> None:
    """20 HU, of which `smooth` takes 6: for 10 HU its correction counts 5/3 times."""
    request = StrengthRequest(dose_fraction=0.25)
    made = plan_strength(ArraySlices(scan()), Halver(0.2, 0.3), "normal-dose", request, SPACING)
    assert (made.strength, made.towards_smooth) == (1.0, 1.0)
    assert made.gain == pytest.approx(5 / 3, rel=0.02)
    assert made.noise_after_hu == pytest.approx(0.5 * made.noise_before_hu, rel=0.02)
    assert not made.warnings


def test_noise_above_that_of_the_scan_needs_no_correction() -> None:
    assert plan(target_noise_hu=200.0)[0] == 0


def test_without_a_goal_the_style_decides_and_the_dose_is_estimated_from_what_it_leaves() -> None:
    made = plan_strength(ArraySlices(scan()), Halver(), "normal-dose", StrengthRequest(), SPACING)
    assert made.strength == 1
    assert made.dose_fraction == pytest.approx(0.25, rel=0.05)


def test_a_fixed_strength_is_taken_as_it_is() -> None:
    strength, _, before, after = plan(strength=0.4)
    assert strength == 0.4
    assert after / before == pytest.approx(0.8, rel=0.02)
    assert before == pytest.approx(20, rel=0.05)


def test_structure_is_not_taken_for_noise() -> None:
    """Ripples in the anatomy that the network leaves alone count neither before nor after."""

    class Careful(Halver):
        @torch.inference_mode()
        def run(self, image: Tensor, code: Tensor, scale: object) -> tuple[Tensor, Tensor]:
            return image, code[0, 0] * (50 + ripples - image)

    rows = torch.arange(128) * 0.8
    ripples = 15 * torch.sin(2 * torch.pi * rows / 6)[None, None, :, None].expand(1, 1, 128, 128)
    source = ArraySlices(scan() + ripples[0].numpy())
    made = plan_strength(source, Careful(), "normal-dose", StrengthRequest(dose_fraction=0.5), SPACING)
    assert made.noise_before_hu == pytest.approx(20, rel=0.05)
    assert made.noise_after_hu == pytest.approx(20 * math.sqrt(0.5), rel=0.05)


def test_a_scan_without_soft_tissue_is_done_all_the_same() -> None:
    air = ArraySlices(np.full((3, 64, 64), -1000, dtype=np.float32))
    made = plan_strength(air, Halver(), "normal-dose", StrengthRequest(), SPACING)
    assert made.strength == 1
    assert "no flat tissue" in made.warnings[0]
    assert made.basis == "noise not measurable"
