"""Structured pruning of a generator: whole residual blocks go, the ones that change the result least.

A block adds to what flows past it, so that without it the network still runs; what it added is missing, and fine-tuning
makes up for part of it. What is left is an ordinary generator with fewer `num_blocks`, which any runtime runs.

Source: Veit et al., NeurIPS 2016, arXiv:1605.06431 (residual networks bear the loss of blocks at test time).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.networks.trunk import BlockCount


@torch.no_grad()
def block_importance(network: StyleSRGenerator, images: Sequence[Tensor], scale: Sequence[int]) -> dict[str, float]:
    """How much the result changes without each block: mean absolute change of the correction in HU.

    Args:
        network: in evaluation mode; left as it is.
        images: HU, each as for `StyleSRGenerator.forward`; real ones with real noise.
        scale: which head.

    Returns:
        By name of the block ("down_stages.0.blocks.1").
    """
    wanted = [network.base_and_correction(image, None, list(scale))[1] for image in images]
    importance = {}
    for name, stage in network.stages():
        for i, block in enumerate(stage.blocks):
            skipped = block.register_forward_hook(_skip)
            try:
                changes = [
                    (network.base_and_correction(image, None, list(scale))[1] - correction).abs().mean()
                    for image, correction in zip(images, wanted, strict=True)
                ]
            finally:
                skipped.remove()
            importance[f"{name}.blocks.{i}"] = float(torch.stack(changes).mean())
    return importance


def prune(
    network: StyleSRGenerator, importance: dict[str, float], num_blocks: Sequence[BlockCount]
) -> StyleSRGenerator:
    """A copy with the most important blocks of every stage, in their order.

    Args:
        network: left as it is.
        importance: see `block_importance`.
        num_blocks: blocks to keep per level, as in the generator's configuration.

    Raises:
        ValueError: if a level has fewer blocks than are to be kept, or `num_blocks` does not fit the levels.
    """
    result = copy.deepcopy(network)
    for name, stage, keep in result.stages_for(num_blocks):
        if not 0 <= keep <= len(stage.blocks):
            raise ValueError(f"{name} has {len(stage.blocks)} blocks, so {keep} of them cannot be kept")
        ranked = sorted(range(len(stage.blocks)), key=lambda i: importance[f"{name}.blocks.{i}"], reverse=True)
        stage.blocks = nn.ModuleList(stage.blocks[i] for i in sorted(ranked[:keep]))
    return result


def _skip(block: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
    return given[0]
