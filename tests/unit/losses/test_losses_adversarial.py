"""Adversarial losses at points whose value is known, and penalties on discriminators whose slope is known."""

from __future__ import annotations

import math

import pytest
import torch

from med_stylesr.errors import UsageError
from med_stylesr.losses.adversarial import KINDS, AdversarialLoss, GradientPenalty, R1Penalty


@pytest.mark.parametrize("kind", KINDS)
def test_discriminator_prefers_real_high_and_generator_prefers_fake_high(kind: str) -> None:
    loss = AdversarialLoss(kind)
    high, low = [torch.full((2, 1, 3, 3), 0.9)], [torch.full((2, 1, 3, 3), 0.1)]
    assert (loss.discriminator(high, low) < loss.discriminator(low, high)).all()
    assert (loss.generator(high, low) < loss.generator(low, high)).all()
    assert loss.generator(high, low).shape == (2,)


def test_known_values_at_zero_scores() -> None:
    zero = [torch.zeros(1, 1, 2, 2)]
    assert AdversarialLoss("lsgan").discriminator(zero, zero).item() == pytest.approx(0.5)
    assert AdversarialLoss("lsgan").generator(zero).item() == pytest.approx(0.5)
    assert AdversarialLoss("hinge").discriminator(zero, zero).item() == pytest.approx(2.0)
    assert AdversarialLoss("hinge").generator(zero).item() == 0
    assert AdversarialLoss("relativistic").discriminator(zero, zero).item() == pytest.approx(math.log(2))
    assert AdversarialLoss("logistic").discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_perfect_scores_cost_a_least_squares_discriminator_nothing() -> None:
    ones, zeros = [torch.ones(1, 4)], [torch.zeros(1, 4)]
    assert AdversarialLoss("lsgan").discriminator(ones, zeros).item() == 0
    assert AdversarialLoss("lsgan").generator(ones).item() == 0


def test_hinge_generator_keeps_its_slope_beyond_the_margin() -> None:
    """A squashed generator term would stop teaching exactly when the discriminator is sure."""
    score = torch.full((1, 1), -50.0, requires_grad=True)
    AdversarialLoss("hinge").generator([score]).sum().backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(-1.0)


def test_scales_count_equally_whatever_their_size() -> None:
    loss = AdversarialLoss("wasserstein")
    fake = [torch.full((1, 1, 8, 8), 1.0), torch.full((1, 1, 2, 2), 3.0)]
    assert loss.generator(fake).item() == pytest.approx(-2.0)


def test_gradient_penalty_is_zero_for_slope_one_and_known_for_others() -> None:
    size = 16
    real, fake = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    for slope, expected in ((1.0, 0.0), (3.0, 4.0)):
        factor = slope / math.sqrt(size)
        value = GradientPenalty()(lambda x, factor=factor: [factor * x.flatten(1).sum(1, keepdim=True)], real, fake)
        torch.testing.assert_close(value, torch.full((2,), expected), atol=1e-5, rtol=1e-4)


def test_r1_is_half_the_squared_slope_at_real_images_and_trains_the_discriminator() -> None:
    layer = torch.nn.Linear(4, 1, bias=False)
    real = torch.randn(3, 4)
    value = R1Penalty()(lambda x: [layer(x)], real, real)
    torch.testing.assert_close(value, torch.full((3,), 0.5 * layer.weight.square().sum().item()))
    value.mean().backward()
    torch.testing.assert_close(layer.weight.grad, layer.weight.detach())


def test_samples_that_take_no_part_do_not_move_the_mean_of_the_relativistic_loss() -> None:
    loss, share = AdversarialLoss("relativistic"), torch.tensor([2.0, 0.0])
    real, fake = torch.tensor([[1.0], [50.0]]), torch.tensor([[-1.0], [-50.0]])
    alone = loss.discriminator([real[:1]], [fake[:1]])
    torch.testing.assert_close(loss.discriminator([real], [fake], share)[:1], alone)
    torch.testing.assert_close(loss.generator([fake], [real], share)[:1], loss.generator([fake[:1]], [real[:1]]))
    assert not torch.allclose(loss.discriminator([real], [fake])[:1], alone)


def test_misuse_is_told() -> None:
    with pytest.raises(UsageError, match="unknown kind"):
        AdversarialLoss("gan")
    with pytest.raises(ValueError, match="real"):
        AdversarialLoss("relativistic").generator([torch.zeros(1, 1)])
