"""A weighted sum of losses in which every term keeps its name, and every style of the bank its own weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from med_stylesr.errors import UsageError

Weight = float | Mapping[str, float]


class StyleWeights(nn.Module):
    """Weights per style: one number for all, or one each by name; `*` stands for the styles left out (else they get 0).

    Args:
        weight: a number, or a mapping from style name to number.
        styles: names of the style bank in the bank's order.

    Raises:
        UsageError: if the mapping names a style that the bank does not have.
    """

    table: Tensor

    def __init__(self, weight: Weight, styles: Sequence[str]) -> None:
        super().__init__()
        if isinstance(weight, Mapping):
            unknown = sorted(set(weight) - set(styles) - {"*"})
            if unknown:
                raise UsageError("loss weight", f"unknown style {unknown[0]!r}", f"use one of {', '.join(styles)}")
            row = [float(weight.get(name, weight.get("*", 0.0))) for name in styles]
        else:
            row = [float(weight)] * max(1, len(styles))
        self.register_buffer("table", torch.tensor(row), persistent=False)

    def forward(self, style: Tensor | None, batch: int) -> Tensor:
        """Return one weight per sample, shape (B,): by bank index (rank 1), else the first style's weight."""
        if style is not None and style.dim() == 1:
            return self.table[style.to(self.table.device)]
        return self.table[0].expand(batch)

    @property
    def used(self) -> bool:
        """Whether any style has a weight other than zero."""
        return bool((self.table != 0).any())


class CompositeLoss(nn.Module):
    """Sum of named losses, each times its weight; a batch may mix styles that are weighted differently.

    Args:
        terms: losses by name; each is called as `loss(pred, target)` on HU images and returns shape (B,).
        weights: weight of every term by name, a number or a mapping from style name to number.
        styles: names of the style bank in the bank's order.

    Raises:
        UsageError: if terms and weights do not name the same things.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, Weight], styles: Sequence[str]) -> None:
        super().__init__()
        if set(terms) != set(weights):
            odd = sorted(set(terms) ^ set(weights))[0]
            raise UsageError("CompositeLoss", f"{odd!r} has a term or a weight but not both", "name both or neither")
        tables = {name: StyleWeights(weights[name], styles) for name in terms}
        # A term that no style uses is not worth its time.
        self.terms = nn.ModuleDict({name: loss for name, loss in terms.items() if tables[name].used})
        self.weights = nn.ModuleDict({name: table for name, table in tables.items() if table.used})

    def breakdown(self, pred: Tensor, target: Tensor, style: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum (B,) and every unweighted term (B,) by name.

        Args:
            pred: the network's output (B, C, …) in HU.
            target: the normal-dose image, same shape, HU.
            style: bank index of every sample (B,), or anything else the generator takes as `style`.
        """
        total = pred.new_zeros(pred.shape[0])
        parts: dict[str, Tensor] = {}
        for name, loss in self.terms.items():
            parts[name] = loss(pred, target)
            total = total + self.weights[name](style, pred.shape[0]) * parts[name]
        return total, parts

    def forward(self, pred: Tensor, target: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the weighted sum of shape (B,)."""
        return self.breakdown(pred, target, style)[0]
