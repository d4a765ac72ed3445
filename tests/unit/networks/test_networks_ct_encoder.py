"""The CT encoder that comes with the package: whole, small, described, and its features follow noise and blur."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from scipy import ndimage

from med_stylesr.errors import InputError
from med_stylesr.losses.perceptual import PerceptualLoss
from med_stylesr.networks import features
from med_stylesr.networks.features import shipped_encoder


def test_card_names_the_file_by_its_digest_and_its_data() -> None:
    folder = files("med_stylesr.networks")
    weights = (folder / "ct_encoder.pt").read_bytes()
    card = json.loads((folder / "ct_encoder.json").read_text(encoding="utf-8"))
    assert len(weights) < 2_000_000
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    assert card["data"]["scans"]
    assert "The Cancer Imaging Archive" in card["data"]["sources"]


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"sha256": "0" * 64, "features": [16, 32, 64, 96], "window": [-200.0, 1600.0]}
    monkeypatch.setattr(features.json, "loads", lambda _: card)
    with pytest.raises(InputError, match="card"):
        shipped_encoder()


def test_perceptual_loss_grows_with_noise_and_with_blur() -> None:
    rng = np.random.default_rng(0)
    organs = 60 * ndimage.gaussian_filter(rng.standard_normal((1, 1, 96, 96)), (0, 0, 6, 6)) * 20 + 40
    grain = ndimage.gaussian_filter(rng.standard_normal(organs.shape), (0, 0, 0.7, 0.7))
    clean = organs + 8 * grain / grain.std()
    other = ndimage.gaussian_filter(rng.standard_normal(organs.shape), (0, 0, 0.7, 0.7))
    loss = PerceptualLoss(shipped_encoder(), [1.0] * 4)

    def distance(image: np.ndarray) -> float:
        return float(loss(torch.from_numpy(image).float(), torch.from_numpy(clean).float()))

    noisier = [distance(clean + sd * other / other.std()) for sd in (0, 10, 25, 60)]
    blurred = [distance(ndimage.gaussian_filter(clean, (0, 0, s, s))) for s in (0, 0.6, 1.2, 2.5)]
    for levels in (noisier, blurred):
        assert levels[0] == 0
        assert (np.diff(levels) > 0).all()


def test_slabs_are_seen_slice_by_slice_so_that_3d_training_can_use_it() -> None:
    encoder = shipped_encoder()
    slab = 100 * torch.randn(1, 1, 2, 32, 32)
    assert [list(m.shape) for m in encoder(slab)] == [
        [1, 16, 2, 32, 32],
        [1, 32, 2, 16, 16],
        [1, 64, 2, 8, 8],
        [1, 96, 2, 4, 4],
    ]
