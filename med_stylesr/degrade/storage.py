"""What a scanner stores of a noisy image."""

from __future__ import annotations

import torch
from torch import Tensor

from med_stylesr.hu import HU_MIN


def as_stored(hu: Tensor, noise: Tensor) -> Tensor:
    """An image with noise, as a scanner stores it.

    Padding has none. Noise of tissue and air stops at the lower end of the scale: what is stored as tissue must not be
    read back as padding.

    Args:
        hu: the image; below `HU_MIN` lies padding.
        noise: HU, same shape.
    """
    return torch.where(hu < HU_MIN, hu, (hu + noise).clamp_min(HU_MIN))
