"""Bounded views of a CT image in HU: what a loss or a discriminator looks at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from med_stylesr.errors import UsageError


class WindowScale(nn.Module):
    r"""Map HU to about [-1, 1] so that the window [center - width/2, center + width/2] fills the range.

    `"tanh"` computes \(\tanh((x - c) / (w/2))\): contrast inside the window counts most, contrast far outside it little
    but never nothing, and the derivative is smooth. `"clip"` is the display window itself. `"linear"` never saturates.

    Args:
        center: centre of the window in HU.
        width: full width of the window in HU, > 0.
        saturation: `"tanh"`, `"clip"` or `"linear"`.

    Raises:
        UsageError: if the width is not positive or the saturation is unknown.
    """

    def __init__(self, center: float, width: float, saturation: str) -> None:
        super().__init__()
        if width <= 0:
            raise UsageError("WindowScale", f"width is {width} HU", "give a positive width")
        if saturation not in ("tanh", "clip", "linear"):
            raise UsageError("WindowScale", f"unknown saturation {saturation!r}", "use tanh, clip or linear")
        self.center, self.half_width, self.saturation = float(center), width / 2, saturation

    def forward(self, hu: Tensor) -> Tensor:
        """Scale `hu` of any shape; the result has the same shape and no unit."""
        unit = (hu - self.center) / self.half_width
        if self.saturation == "tanh":
            return torch.tanh(unit)
        return unit.clamp(-1.0, 1.0) if self.saturation == "clip" else unit
