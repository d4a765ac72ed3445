"""The style of a reference scan: pieces of its body, encoded one by one and averaged."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from med_stylesr.errors import InputError
from med_stylesr.hu import HU_MAX, HU_MIN
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.networks.generator import StyleSRGenerator

PIECE: Final = 96
"""Rows and columns of a piece: what the encoder was trained on."""
SLICES: Final = 8
_AIR_HU: Final = -950.0
_AIR_SHARE: Final = 0.4


def body_pieces(hu: NDArray[Any]) -> NDArray[np.float32]:
    """Pieces with little air of some slices spread over a scan, (pieces, 1, PIECE, PIECE) HU.

    Args:
        hu: (slices, rows, columns) HU.

    Raises:
        InputError: if no piece holds enough body.
    """
    found = []
    for k in spread_indices(hu.shape[0], SLICES):
        image = np.asarray(hu[k], dtype=np.float32).clip(HU_MIN, HU_MAX)
        for top in range(0, image.shape[0] - PIECE + 1, PIECE):
            for left in range(0, image.shape[1] - PIECE + 1, PIECE):
                piece = image[top : top + PIECE, left : left + PIECE]
                if float((piece < _AIR_HU).mean()) < _AIR_SHARE:
                    found.append(piece)
    if not found:
        why = f"shows no body in pieces of {PIECE} x {PIECE} pixels"
        raise InputError("style reference", why, "name a CT scan of a patient at normal dose")
    return np.stack(found)[:, None]


@torch.inference_mode()
def reference_code(network: StyleSRGenerator, hu: NDArray[Any]) -> Tensor:
    """Style code (1, style_dim) of a reference scan.

    Args:
        network: a generator whose style encoder was trained.
        hu: (slices, rows, columns) HU.

    Raises:
        InputError: see `body_pieces`.
    """
    pieces = torch.from_numpy(body_pieces(hu)).to(next(network.parameters()).device)
    return network.encode_style(pieces).mean(dim=0, keepdim=True)
