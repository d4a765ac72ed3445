"""Automatic strength: the noise that is asked for is the noise that is left."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from med_stylesr.inference.normal_dose import DoseEstimate
from med_stylesr.inference.runtime import TorchRuntime
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.inference.strength import StrengthPlan, StrengthRequest, plan_strength
from med_stylesr.networks.generator import StyleSRGenerator

SPACING = (2.0, 0.8, 0.8)


STYLES = ("normal-dose", "smooth", "soft", "as-is", "noise-free")


class Remover(TorchRuntime):
    """A runtime whose correction takes a share of the deviation from 50 HU that depends on the style."""

    def __init__(self, normal: float = 0.5, free: float = 0.95) -> None:
        super().__init__(StyleSRGenerator(2, 1, (4,), (1,), (1, 1), 1, styles=STYLES))
        with torch.no_grad():
            self.network.style_bank.copy_(torch.tensor([[normal], [0.8], [0.3], [0.0], [free]]))

    @torch.inference_mode()
    def run(self, image: Tensor, code: Tensor, scale: object) -> tuple[Tensor, Tensor]:
        return image, code[0, 0] * (50 - image)


def scan() -> np.ndarray:
    return np.random.default_rng(0).normal(50, 20, (6, 128, 128)).astype(np.float32)


def plan(style: str = "normal-dose", free: float = 0.95, **request: float) -> StrengthPlan:
    return plan_strength(ArraySlices(scan()), Remover(free=free), style, StrengthRequest(**request), SPACING)


def left(made: StrengthPlan) -> float:
    """Share of the noise amplitude that stays."""
    assert made.noise_before_hu is not None
    assert made.noise_after_hu is not None
    return made.noise_after_hu / made.noise_before_hu


@pytest.mark.parametrize("dose", [0.1, 0.3, 0.5, 0.9])
def test_a_given_dose_leaves_the_root_of_it_of_the_noise(dose: float) -> None:
    made = plan(dose_fraction=dose)
    assert (made.correction, made.finish) == ("noise-free", None)
    assert left(made) == pytest.approx(math.sqrt(dose), rel=0.02)
    assert 1 - 0.95 * made.strength == pytest.approx(math.sqrt(dose), rel=0.02)


@pytest.mark.parametrize("dose", [0.1, 0.5])
def test_the_mean_square_end_leaves_the_share_itself(dose: float) -> None:
    assert left(plan("smooth", dose_fraction=dose)) == pytest.approx(dose, rel=0.02)


def test_a_kernel_is_given_to_what_the_noise_has_gone_from() -> None:
    made = plan("soft", dose_fraction=0.25)
    assert (made.correction, made.finish) == ("noise-free", "soft")
    assert left(made) == pytest.approx(0.5, rel=0.02)


def test_the_style_that_keeps_noise_keeps_it_whatever_the_dose() -> None:
    made = plan("as-is", dose_fraction=0.25)
    assert (made.correction, made.basis) == ("as-is", "given style")
    assert left(made) == pytest.approx(1, rel=0.01)


def test_a_target_noise_is_met_and_an_unreachable_one_is_told() -> None:
    assert plan(target_noise_hu=14.0).noise_after_hu == pytest.approx(14.0, rel=0.02)
    made = plan(free=0.3, target_noise_hu=2.0)
    assert "cannot be reached" in made.warnings[0]
    assert made.strength == 1


@pytest.mark.parametrize("told", [0.25, 0.2, 0.9])
def test_an_estimated_dose_is_aimed_at_whatever_the_network_would_leave(told: float) -> None:
    seen: list[float] = []

    def estimate(noise_hu: float, slices: np.ndarray) -> DoseEstimate:
        seen.append(noise_hu)
        return DoseEstimate(told, None, noise_hu, None, "standard", 250.0, "")

    source = ArraySlices(scan())
    made = plan_strength(source, Remover(normal=0.4), "normal-dose", StrengthRequest(), SPACING, estimate)
    assert seen == [pytest.approx(20, rel=0.05)]
    assert (made.basis, made.dose_fraction) == ("estimated from the noise", told)
    assert left(made) == pytest.approx(math.sqrt(told), rel=0.02)
    assert made.facts()["dose_estimate"]["dose_fraction"] == told
    given = plan_strength(source, Remover(), "normal-dose", StrengthRequest(dose_fraction=0.5), SPACING, estimate)
    assert (given.basis, given.dose_fraction) == ("given dose", 0.5)


def test_noise_above_that_of_the_scan_needs_no_correction() -> None:
    assert plan(target_noise_hu=200.0).strength == 0


def test_without_a_goal_the_style_decides_and_the_dose_is_estimated_from_what_it_leaves() -> None:
    made = plan()
    assert (made.strength, made.correction) == (1, "normal-dose")
    assert made.dose_fraction == pytest.approx(0.25, rel=0.05)


def test_a_fixed_strength_is_taken_as_it_is() -> None:
    made = plan(strength=0.4)
    assert (made.strength, made.correction) == (0.4, "normal-dose")
    assert left(made) == pytest.approx(0.8, rel=0.02)
    assert made.noise_before_hu == pytest.approx(20, rel=0.05)


def test_structure_is_not_taken_for_noise() -> None:
    """Ripples in the anatomy that the network leaves alone count neither before nor after."""

    class Careful(Remover):
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
    made = plan_strength(air, Remover(), "normal-dose", StrengthRequest(), SPACING)
    assert made.strength == 1
    assert "no flat tissue" in made.warnings[0]
    assert made.basis == "noise not measurable"


def test_a_correction_larger_than_the_noise_is_applied_where_it_leaves_least() -> None:
    made = plan(style="noise-free", free=1.25, target_noise_hu=1e-6)
    assert made.strength == pytest.approx(1 / 1.25, abs=0.01)
    assert left(made) < 0.02
