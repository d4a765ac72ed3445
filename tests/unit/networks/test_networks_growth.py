"""A grown head says at first what the head before it said, and nothing else has changed."""

from __future__ import annotations

import pytest
import torch
from test_networks_generator import scan, wild
from torch import nn

from med_stylesr.networks.growth import add_blocks, grow_head
from med_stylesr.networks.upsample import nearest_upsample

STAGES = [((2, 2), (4, 4)), ((1, 2), (3, 2)), ((2, 1, 1), (4, 1, 1)), ((1, 2, 2), (2, 4, 4))]


@pytest.mark.parametrize(("source", "target"), STAGES)
@torch.no_grad()
def test_correction_of_a_new_head_is_that_of_the_old_one_interpolated(
    source: tuple[int, ...], target: tuple[int, ...]
) -> None:
    net = wild(len(source), scale=source, extra_scales=[target])
    net.lock = Unlocked()
    x = scan(1, net.in_channels, *[4] * net.leading, 24, 32)
    _, old = net.base_and_correction(x, scale=list(source))
    grow_head(net, source, target)
    _, new = net.base_and_correction(x, scale=list(target))
    ratio = [b // a for a, b in zip(source, target, strict=True)]
    assert old.std() > 1
    torch.testing.assert_close(new, nearest_upsample(old, ratio), atol=1e-3, rtol=0)


@torch.no_grad()
def test_averaged_back_the_locked_prediction_of_a_new_head_is_that_of_the_old_one() -> None:
    net, x = wild(scale=(1, 1), extra_scales=[(2, 2), (4, 4)]), scan(1, 3, 64, 64)
    old = net(x, scale=[2, 2])
    before = nn.functional.avg_pool2d(net(x, scale=[4, 4]), 2)
    grow_head(net, [2, 2], [4, 4])
    after = nn.functional.avg_pool2d(net(x, scale=[4, 4]), 2)
    assert (after - old).square().mean() < 0.05 * (before - old).square().mean()


def test_growing_leaves_trunk_and_other_heads_alone() -> None:
    net = wild(scale=(1, 1), extra_scales=[(2, 2), (4, 4)])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    grow_head(net, [2, 2], [4, 4])
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"tails.2.weight"}  # the biases of `wild` are all equal


def test_heads_that_do_not_exist_or_do_not_fit_are_refused() -> None:
    net = wild(scale=(2, 2), extra_scales=[(3, 3)])
    with pytest.raises(ValueError, match="no multiple"):
        grow_head(net, [2, 2], [3, 3])
    with pytest.raises(ValueError, match="no head"):
        grow_head(net, [2, 2], [8, 8])


@pytest.mark.parametrize("block", ["residual", "dense", "light"])
def test_added_blocks_change_nothing_until_they_are_trained(block: str) -> None:
    net, x = wild(num_blocks=[1, 2], block=block), scan(1, 3, 48, 48)
    grown = add_blocks(net, [[1, 2], 4])
    assert [len(stage.blocks) for _, stage in grown.stages()] == [1, 4, 2]
    with torch.no_grad():
        assert torch.equal(grown(x), net(x))
    grown(x).sum().backward()
    # The last convolutions are zero but not dead.
    silent = [p for p in grown.bottom.blocks[-1].parameters() if p.dim() > 2 and not p.any()]
    assert silent
    assert all(p.grad is not None and p.grad.any() for p in silent)


def test_grown_weights_fit_a_generator_of_that_configuration() -> None:
    grown, x = add_blocks(wild(num_blocks=[0, 1]), [1, 1]), scan(1, 3, 48, 48)
    other = wild(num_blocks=[1, 1])
    other.load_state_dict(grown.state_dict())
    with torch.no_grad():
        assert torch.equal(other(x), grown(x))


@pytest.mark.parametrize("num_blocks", [[1, 1], [2, 2, 2], [[2, 1], 2]])
def test_growing_takes_no_block_away(num_blocks: list[int]) -> None:
    with pytest.raises(ValueError, match="blocks"):
        add_blocks(wild(num_blocks=[2, 2]), num_blocks)


class Unlocked(nn.Module):
    """In place of the HU lock, which averages over cells of another size in every head."""

    def forward(self, correction: torch.Tensor, guide: torch.Tensor, inside: torch.Tensor, ratio: list[int]) -> object:
        return correction * inside
