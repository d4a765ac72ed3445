"""The weighted sum: every term by name, every style with its own weights."""

from __future__ import annotations

import pytest
import torch

from med_stylesr.errors import UsageError
from med_stylesr.losses.composite import CompositeLoss
from med_stylesr.losses.pixel import PixelLoss, TotalVariationLoss

STYLES = ("normal-dose", "smooth")


def make(weights: dict[str, object]) -> CompositeLoss:
    terms = {"l1": PixelLoss("l1", 1.0), "mse": PixelLoss("mse", 1.0)}
    return CompositeLoss({name: terms[name] for name in weights}, weights, STYLES)  # type: ignore[arg-type]


def test_total_is_the_weighted_sum_of_the_named_parts() -> None:
    loss = make({"l1": 2.0, "mse": 0.5})
    pred, target = torch.full((3, 1, 4, 4), 3.0), torch.zeros(3, 1, 4, 4)
    total, parts = loss.breakdown(pred, target)
    assert set(parts) == {"l1", "mse"}
    torch.testing.assert_close(total, 2.0 * parts["l1"] + 0.5 * parts["mse"])
    torch.testing.assert_close(total, torch.full((3,), 2 * 3.0 + 0.5 * 9.0))


def test_a_batch_may_mix_styles_with_different_weights() -> None:
    loss = make({"l1": {"normal-dose": 1.0}, "mse": {"smooth": 1.0}})
    pred, target = torch.full((2, 1, 4, 4), 3.0), torch.zeros(2, 1, 4, 4)
    torch.testing.assert_close(loss(pred, target, torch.tensor([0, 1])), torch.tensor([3.0, 9.0]))
    # A code or a reference image instead of an index takes the first style's weights.
    torch.testing.assert_close(loss(pred, target, torch.zeros(2, 8)), torch.tensor([3.0, 3.0]))


def test_a_term_without_weight_is_not_computed() -> None:
    assert list(make({"l1": 1.0, "mse": 0.0}).terms) == ["l1"]


def test_names_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match="mse"):
        CompositeLoss({"l1": PixelLoss("l1", 1.0)}, {"l1": 1.0, "mse": 1.0}, STYLES)
    with pytest.raises(UsageError, match="unknown style"):
        make({"l1": {"smoooth": 1.0}})


def test_charbonnier_lies_between_square_and_absolute_value_and_is_zero_at_zero() -> None:
    loss = PixelLoss("charbonnier", 1.0, 1.0)
    zero = torch.zeros(1, 1, 2, 2)
    assert loss(zero, zero).item() == 0
    assert loss(zero + 1e-2, zero).item() == pytest.approx(0.5e-4, rel=1e-2)
    assert loss(zero + 1e3, zero).item() == pytest.approx(1e3 - 1, rel=1e-3)


def test_total_variation_counts_each_step_once() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[..., 2:] = 6.0
    # One step of 6 in each of 4 rows, among 4 x 3 differences along the columns; none along the rows.
    assert TotalVariationLoss(1.0)(image, image).item() == pytest.approx(6 * 4 / 12)
