"""Pruning: what does nothing can go, what does most stays, and what is left is a generator that costs less."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.pruning import block_importance, prune


def network(num_blocks: list[Any]) -> StyleSRGenerator:
    torch.manual_seed(2)
    net = StyleSRGenerator(2, 3, [8, 16], num_blocks, [1, 1], 4).eval()
    for tail in net.tails:
        nn.init.normal_(tail.weight, std=0.1)
    return net


def scan() -> torch.Tensor:
    return torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)) * 30 + 40


def silence(block: nn.Module) -> None:
    nn.init.zeros_(block.second.weight)
    nn.init.zeros_(block.second.bias)


def operations(net: StyleSRGenerator) -> int:
    with FlopCounterMode(display=False) as counter:
        net(scan())
    return counter.get_total_flops()


def test_a_block_that_adds_nothing_has_no_importance_and_can_go_unnoticed() -> None:
    net = network([2, 3])
    for stage, silent in ((net.down_stages[0], 1), (net.bottom, 0), (net.up_stages[0], 0)):
        silence(stage.blocks[silent])
    importance = block_importance(net, [scan()], [1, 1])
    assert {name for name, value in importance.items() if value == 0} == {
        "down_stages.0.blocks.1",
        "bottom.blocks.0",
        "up_stages.0.blocks.0",
    }
    pruned = prune(net, importance, [1, 2])
    with torch.no_grad():
        assert torch.equal(pruned(scan()), net(scan()))


def test_measuring_leaves_the_network_as_it_was() -> None:
    net = network([1, 2])
    with torch.no_grad():
        before = net(scan())
        block_importance(net, [scan()], [1, 1])
        assert torch.equal(net(scan()), before)


def test_pruned_weights_fit_a_generator_of_that_configuration_and_keep_all_else() -> None:
    net = network([2, 3])
    pruned = prune(net, block_importance(net, [scan()], [1, 1]), [1, 1])
    other = network([1, 1])
    other.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        assert torch.equal(other(scan()), pruned(scan()))
    kept = dict(net.named_parameters())
    for name, value in pruned.named_parameters():
        if ".blocks." not in name and not name.startswith("bottom"):
            assert torch.equal(value, kept[name])


def test_cost_falls_by_that_of_the_blocks_removed() -> None:
    net = network([2, 2])
    importance = block_importance(net, [scan()], [1, 1])
    full, less, none = (operations(prune(net, importance, n)) for n in ([2, 2], [1, 2], [0, 2]))
    assert full - less == less - none
    # Two stages, two 3 x 3 convolutions of 8 features each, on 24 x 24.
    assert full - less == 2 * 2 * 2 * 9 * 8 * 8 * 24 * 24 + 2 * 2 * 4 * 16


def test_no_blocks_at_a_level_is_a_network_too() -> None:
    net = network([1, 1])
    pruned = prune(net, block_importance(net, [scan()], [1, 1]), [0, 0])
    assert all(len(stage.blocks) == 0 for _, stage in pruned.stages())
    with torch.no_grad():
        assert torch.isfinite(pruned(scan())).all()


def test_a_pair_keeps_different_numbers_of_blocks_on_the_way_down_and_up() -> None:
    net = network([2, 2])
    pruned = prune(net, block_importance(net, [scan()], [1, 1]), [[0, 1], 1])
    assert [(name, len(stage.blocks)) for name, stage in pruned.stages()] == [
        ("down_stages.0", 0),
        ("bottom", 1),
        ("up_stages.0", 1),
    ]
    other = network([[0, 1], 1])
    other.load_state_dict(pruned.state_dict())
    with torch.no_grad():
        assert torch.equal(other(scan()), pruned(scan()))


@pytest.mark.parametrize("num_blocks", [[1], [3, 1], [-1, 1], [[1, 2], 1]])
def test_more_blocks_than_there_are_cannot_be_kept(num_blocks: list[int]) -> None:
    net = network([1, 1])
    with pytest.raises(ValueError, match=r"level|blocks"):
        prune(net, block_importance(net, [scan()], [1, 1]), num_blocks)
