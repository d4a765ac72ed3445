"""Style of a reference scan: looked for in the body, the same however often it is asked for, and refused without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from med_stylesr.errors import InputError
from med_stylesr.inference.reference import PIECE, body_pieces, reference_code
from med_stylesr.networks.generator import StyleSRGenerator


def body(seed: int = 0, slices: int = 20) -> np.ndarray:
    """Noisy water in the middle of air."""
    hu = np.full((slices, 320, 320), -1000, dtype=np.int16)
    hu[:, 64:256, 64:256] = np.random.default_rng(seed).normal(40, 20, (slices, 192, 192))
    return hu


def test_pieces_are_of_the_body_and_of_the_whole_scan() -> None:
    hu = body()
    hu[:, 64:256, 64:256] += np.arange(20, dtype=np.int16)[:, None, None] * 10
    pieces = body_pieces(hu)
    assert pieces.shape[1:] == (1, PIECE, PIECE)
    assert (pieces < -950).mean(axis=(1, 2, 3)).max() < 0.4
    means = np.median(pieces, axis=(1, 2, 3))
    assert means.min() < 60
    assert means.max() > 210


def test_a_scan_of_air_is_refused() -> None:
    with pytest.raises(InputError, match="no body"):
        body_pieces(np.full((4, 256, 256), -1000, dtype=np.int16))


def test_smaller_than_a_piece_is_refused() -> None:
    with pytest.raises(InputError, match="no body"):
        body_pieces(np.zeros((4, 32, 32), dtype=np.int16))


def test_the_code_hangs_on_texture_and_not_on_order() -> None:
    torch.manual_seed(0)
    network = StyleSRGenerator(2, 1, [4, 8], [1, 1], [1, 1], 8, styles=["normal-dose"]).eval()
    hu = body()
    code = reference_code(network, hu)
    assert code.shape == (1, 8)
    order = float((code - reference_code(network, hu[::-1, ::-1])).abs().max())
    smooth = hu.copy()
    smooth[:, 64:256, 64:256] = 40
    texture = float((code - reference_code(network, smooth)).abs().max())
    assert order < 0.2 * texture
