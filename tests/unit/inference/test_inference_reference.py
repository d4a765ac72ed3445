"""Style of a reference scan: looked for in the body, the same however often it is asked for, and refused without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.bundle_folder import bundles_root
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.reference import PIECE, body_pieces, reference_code
from med_stylesr.inference.request import REFERENCE_STYLE, EnhanceOptions, StrengthRequest
from med_stylesr.networks.generator import StyleSRGenerator
from med_stylesr.volume import CTVolume


def body(seed: int = 0, slices: int = 20) -> np.ndarray:
    """Noisy water in the middle of air."""
    hu = np.full((slices, 320, 320), -1000, dtype=np.int16)
    hu[:, 64:256, 64:256] = np.random.default_rng(seed).normal(40, 20, (slices, 192, 192))
    return hu


def scan(hu: np.ndarray) -> CTVolume:
    return CTVolume(hu, np.diag([0.8, 0.8, 2.5, 1.0]))


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


def test_the_shipped_network_follows_its_reference_from_smooth_to_rough() -> None:
    """The same scan after a blurred reference and after one of white noise: the former result is the smoother one."""
    volume = CTVolume(body(1, 6)[:, 64:256, 64:256].copy(), np.diag([0.8, 0.8, 2.5, 1.0]))
    options = EnhanceOptions(style=REFERENCE_STYLE, request=StrengthRequest(strength=1.0))
    rough = body(2)
    smooth = rough.copy()
    smooth[:, 64:256, 64:256] = gaussian_filter(rough[:, 64:256, 64:256].astype(float), (0, 2, 2))

    def steps(reference: np.ndarray) -> float:
        result, done = Enhancer(device="cpu", reference=scan(reference)).enhance(volume, options)
        assert done.facts()["style"] == REFERENCE_STYLE
        assert abs(float(result.hu.mean() - volume.hu.mean())) < 1
        return float(np.abs(np.diff(result.hu[3].astype(float), axis=1)).mean())

    assert steps(smooth) < 0.8 * steps(rough)


def test_another_reference_makes_other_results_so_resume_must_know() -> None:
    first, second = (Enhancer(device="cpu", reference=scan(body(seed))).offer(False).weights_sha256 for seed in (0, 1))
    again = Enhancer(device="cpu", reference=scan(body(0))).offer(False).weights_sha256
    assert first == again
    assert first != second


def test_a_bundle_that_never_learned_from_references_says_so(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(bundles_root() / "ldct_stylesr_2d", mine)
    metadata = mine / "configs" / "metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "style_reference": False}))
    with pytest.raises(UsageError, match="not trained to take its style"):
        Enhancer(mine, "cpu", reference=scan(body()))
