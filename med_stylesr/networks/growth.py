"""Growing a generator: a finer head, or more blocks, that say at first what the network said before."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.trunk import BlockCount


def grow_head(network: StyleSRGenerator, source: Sequence[int], target: Sequence[int]) -> None:
    r"""Copy the head of scale s into the head of scale S = s · r, every sub-pixel repeated r times per axis.

    Channel (i, j) of the sub-pixel layer of S becomes channel (⌊i/r⌋, ⌊j/r⌋) of that of s, so that the correction of
    the new head is the nearest-neighbour interpolation of the old one's: no checkerboard to unlearn, and averaged back
    to the old grid nothing has changed. The trunk and all other heads are left alone.

    Args:
        network: a generator with heads of both scales.
        source: s, one factor per spatial axis.
        target: S, a multiple of s per axis.

    Raises:
        ValueError: if the network lacks one of the heads, or S is no multiple of s.

    Source: initialisation of sub-pixel layers to nearest-neighbour resizing, Aitken et al. 2017, arXiv 1707.02937.
    """
    old, new = list(source), list(target)
    for scale in (old, new):
        if scale not in network.scales:
            raise ValueError(f"no head of scale {scale} among {network.scales}")
    if any(b % a for a, b in zip(old, new, strict=True)):
        raise ValueError(f"scale {new} is no multiple of {old}")
    repeats = [b // a for a, b in zip(old, new, strict=True)]
    steps = [a * u for a, u in zip(old, network.unshuffle, strict=True)]
    first, second = (network.tails[network.scales.index(scale)] for scale in (old, new))
    with torch.no_grad():
        for parameter, grown in zip(first.parameters(), second.parameters(), strict=True):
            layout = parameter.reshape(*steps, *parameter.shape[1:])
            for axis, repeat in enumerate(repeats):
                layout = layout.repeat_interleave(repeat, dim=axis)
            grown.copy_(layout.reshape(grown.shape))


def add_blocks(network: StyleSRGenerator, num_blocks: Sequence[BlockCount]) -> StyleSRGenerator:
    """A copy with more blocks at the end of stages, which add nothing until they are trained.

    Their first convolutions are drawn at random, their last ones are zero.

    Args:
        network: left as it is.
        num_blocks: blocks per level, as in the generator's configuration.

    Raises:
        ValueError: if a level has more blocks than that, or `num_blocks` does not fit the levels.

    Source: growing deeper with the same function, Chen et al., ICLR 2016, arXiv:1511.05641 (Net2Net).
    """
    result = copy.deepcopy(network)
    for name, stage, wanted in result.stages_for(num_blocks):
        if wanted < len(stage.blocks):
            raise ValueError(f"{name} has {len(stage.blocks)} blocks, more than {wanted}")
        stage.blocks.extend(stage.another(gain=0.0) for _ in range(wanted - len(stage.blocks)))
    return result
