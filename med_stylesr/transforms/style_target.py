"""Targets in the styles of the bank, made from the normal-dose image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTransform
from monai.utils.type_conversion import convert_to_tensor
from scipy.ndimage import gaussian_filter

from med_stylesr.errors import UsageError


class RandStyleTargetd(RandomizableTransform):
    r"""Draw a style of the bank and bring the label into it with a filter in plane.

    With blur \(\sigma\) and sharpening a the label becomes \(y = G_\sigma * x\), then \(y + a\,(y - G_1 * y)\). Filters
    act on the two last axes. The style's number goes into the batch, so that the generator is told what to make and the
    losses are weighted accordingly (the style `smooth` needs no filter: its loss is the squared error).

    Args:
        label_key: the normal-dose image (C, …, rows, columns) in HU.
        style_key: entry for the style's number.
        styles: names of the bank in its order.
        probabilities: how often each is drawn, in the same order; they sum to 1.
        blur: standard deviation in voxels of the blur, by style name; others are not blurred.
        sharpen: amount a of unsharp masking, by style name.

    Raises:
        UsageError: for probabilities that do not fit or filters of unknown styles.
    """

    def __init__(
        self,
        label_key: str,
        style_key: str,
        styles: Sequence[str],
        probabilities: Sequence[float],
        blur: Mapping[str, float],
        sharpen: Mapping[str, float],
    ) -> None:
        super().__init__(prob=1.0)
        if len(probabilities) != len(styles) or abs(sum(probabilities) - 1) > 1e-6:
            raise UsageError("RandStyleTargetd", f"probabilities {list(probabilities)} do not fit {list(styles)}")
        unknown = sorted((set(blur) | set(sharpen)) - set(styles))
        if unknown:
            raise UsageError("RandStyleTargetd", f"no style {unknown[0]!r}", f"use {', '.join(styles)}")
        self.label_key, self.style_key, self.styles = label_key, style_key, list(styles)
        self.probabilities, self.blur, self.sharpen = list(probabilities), dict(blur), dict(sharpen)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the mapping with the filtered label and the style's number."""
        number = int(self.R.choice(len(self.styles), p=self.probabilities))
        name = self.styles[number]
        label = convert_to_tensor(data[self.label_key], track_meta=False)
        if self.blur.get(name):
            label = _blurred(label, self.blur[name])
        if self.sharpen.get(name):
            label = label + self.sharpen[name] * (label - _blurred(label, 1.0))
        return {**data, self.label_key: label, self.style_key: torch.tensor(number)}


def _blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    axes = (0.0,) * (image.dim() - 2) + (sigma, sigma)
    return torch.from_numpy(gaussian_filter(image.numpy(), axes, mode="nearest"))
