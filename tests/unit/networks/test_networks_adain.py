"""AdaIN gives the style's statistics; FiLM starts at no change; the style encoder sees texture."""

from __future__ import annotations

import torch

from med_stylesr.hu import WINDOWS
from med_stylesr.networks.adain import AdaIN, FiLM, StyleEncoder, adain


def test_adain_output_has_the_mean_and_deviation_of_the_style() -> None:
    torch.manual_seed(0)
    content = 5 + 3 * torch.randn(2, 4, 32, 32)
    mean, std = torch.randn(2, 4), torch.rand(2, 4) + 0.5
    out = adain(content, mean, std, eps=1e-8).flatten(2)
    torch.testing.assert_close(out.mean(2), mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(2, unbiased=False), std, atol=1e-4, rtol=0)


def test_film_changes_nothing_before_training_and_adain_only_normalises() -> None:
    x, code = torch.randn(2, 4, 8, 8, 8), torch.randn(2, 3)
    assert torch.equal(FiLM(4, 3)(x, code), x)
    torch.testing.assert_close(AdaIN(4, 3)(x, code).flatten(2).mean(2), torch.zeros(2, 4), atol=1e-5, rtol=0)


def test_style_code_of_a_volume_is_the_mean_over_its_slices() -> None:
    torch.manual_seed(0)
    encoder = StyleEncoder(4, 3, WINDOWS["soft tissue"])
    volume = 40 + 30 * torch.randn(1, 1, 5, 32, 32)
    each = torch.stack([encoder(volume[:, :, k]) for k in range(5)]).mean(0)
    torch.testing.assert_close(encoder(volume), each)


def test_style_code_ignores_what_lies_outside_its_window() -> None:
    encoder = StyleEncoder(4, 3, WINDOWS["soft tissue"])
    lung = torch.full((1, 1, 32, 32), -850.0)
    torch.testing.assert_close(encoder(lung), encoder(lung - 100))
