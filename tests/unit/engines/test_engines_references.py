"""The style encoder is trained with the generator: references stand in for names of styles in some batches."""

from __future__ import annotations

import pytest
import torch

from med_stylesr.engines.references import PrepareWithReferences, partners
from med_stylesr.errors import UsageError
from med_stylesr.networks.generator import StyleSRGenerator

BATCH = {"image": torch.randn(4, 1, 8, 8), "label": torch.randn(4, 1, 16, 16), "style": torch.tensor([0, 1, 0, 0])}


def test_a_reference_is_another_image_of_the_same_style() -> None:
    style = torch.tensor([0, 1, 0, 1, 0, 2])
    other = partners(style)
    assert torch.equal(style[other], style)
    assert all(int(k) != n for n, k in enumerate(other) if n != 5)
    assert other[5] == 5


def test_a_share_of_the_batches_is_shown_references_and_the_others_names() -> None:
    _, label, _, extra = PrepareWithReferences(1.0)(BATCH, "cpu")
    assert extra["scale"] == [2, 2]
    assert torch.equal(extra["style"], label[[2, 1, 3, 0]])
    assert torch.equal(PrepareWithReferences(0.0)(BATCH, "cpu")[3]["style"], BATCH["style"])
    torch.manual_seed(0)
    shown = [PrepareWithReferences(0.3)(BATCH, "cpu")[3]["style"].dim() == 4 for _ in range(200)]
    assert 0.2 < sum(shown) / 200 < 0.4
    with pytest.raises(UsageError, match="probability"):
        PrepareWithReferences(1.5)


def test_the_encoder_learns_from_a_batch_with_references() -> None:
    torch.manual_seed(0)
    network = StyleSRGenerator(2, 1, [4], [1], [2, 2], 4)
    # New networks are neutral to style: the second step would be the first to reach the encoder.
    torch.nn.init.normal_(network.bottom.blocks[0].style.affine.weight)
    torch.nn.init.normal_(network.tails[0].weight)
    image, label, _, extra = PrepareWithReferences(1.0)(BATCH, "cpu")
    (network(image, **extra) - label).abs().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.style_encoder.parameters())
    assert network.style_bank.grad is None
