"""What an autoencoder is trained on: an image and itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.utils.enums import CommonKeys as Keys
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor


def prepare_image(
    batch: Mapping[str, Any], device: torch.device | str, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Take `image` from a batch, as input and as target.

    Args:
        batch: mapping with `image` (B, 1, …) in HU.
        device: where to compute.
        non_blocking: copy without waiting for the device.
        kwargs: further arguments of `torch.Tensor.to`.
    """
    image: Tensor = convert_to_tensor(batch[Keys.IMAGE], track_meta=False)
    image = image.to(device=device, non_blocking=non_blocking, **kwargs)
    return image, image
