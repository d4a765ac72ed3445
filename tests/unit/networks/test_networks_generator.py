"""What the generator promises for any weights: identity at strength 0, geometry, pass-through, locality, HU lock."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from med_stylesr.networks.generator import StyleSRGenerator


def wild(spatial_dims: int = 2, **changes: object) -> StyleSRGenerator:
    """A small generator whose random tails make strong corrections: promises must hold for any weights."""
    torch.manual_seed(0)
    arguments: dict[str, object] = {
        "spatial_dims": spatial_dims,
        "in_channels": 3 if spatial_dims == 2 else 1,
        "features": (8, 12),
        "num_blocks": (1, 1),
        "scale": (1,) * spatial_dims,
        "style_dim": 4,
    }
    net = StyleSRGenerator(**{**arguments, **changes})  # type: ignore[arg-type]
    for tail in net.tails:
        assert isinstance(tail, (nn.Conv2d, nn.Conv3d))
        nn.init.normal_(tail.weight, std=0.1)
        nn.init.constant_(tail.bias, 0.8)  # a shift of 40 HU that the lock must take away
    return net.eval()


def scan(*shape: int) -> Tensor:
    """Two tissues with noise, in HU."""
    torch.manual_seed(1)
    image = torch.full(shape, 40.0)
    image[..., : shape[-1] // 2] = -850.0
    return image + 20 * torch.randn(shape)


@torch.no_grad()
def test_strength_zero_is_the_input_bit_for_bit() -> None:
    x = scan(2, 3, 37, 50)
    assert torch.equal(wild()(x, strength=torch.tensor(0.0)), x[:, 1:2])


@torch.no_grad()
def test_prediction_is_linear_in_strength() -> None:
    net, x = wild(), scan(1, 3, 32, 32)
    half = net(x, strength=torch.tensor(0.5))
    torch.testing.assert_close(half, (net(x) + x[:, 1:2]) / 2, atol=1e-2, rtol=0)


@pytest.mark.parametrize("scale", [(1, 1), (2, 2), (4, 4), (1, 3)])
@torch.no_grad()
def test_every_scale_of_2d_heads_gives_its_size(scale: tuple[int, int]) -> None:
    out = wild(scale=scale)(scan(1, 3, 30, 41))
    assert out.shape == (1, 1, 30 * scale[0], 41 * scale[1])


@pytest.mark.parametrize("scale", [(1, 2, 2), (2, 1, 1), (5, 1, 1), (3, 2, 1)])
@torch.no_grad()
def test_every_scale_of_3d_heads_gives_its_size(scale: tuple[int, int, int]) -> None:
    out = wild(3, scale=scale)(scan(1, 1, 3, 18, 21))
    assert out.shape[2:] == tuple(n * s for n, s in zip((3, 18, 21), scale, strict=True))


@torch.no_grad()
def test_heads_share_a_trunk_and_an_unknown_scale_is_refused() -> None:
    net = wild(extra_scales=[(2, 2)])
    assert net(scan(1, 3, 16, 16), scale=[2, 2]).shape[-1] == 32
    with pytest.raises(ValueError, match="no head"):
        net(scan(1, 3, 16, 16), scale=[3, 3])


@pytest.mark.parametrize("scale", [(1, 1), (2, 2)])
@torch.no_grad()
def test_padding_and_metal_pass_through_untouched(scale: tuple[int, int]) -> None:
    x = scan(1, 3, 32, 32)
    x[..., :4, :] = -3024.0
    x[..., 20, 20] = 9000.0
    out = wild(scale=scale)(x)
    s = scale[0]
    assert (out[..., : 4 * s, :] == -3024).all()
    assert (out[..., 20 * s : 21 * s, 20 * s : 21 * s] == 9000).all()


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
@torch.no_grad()
def test_super_resolved_image_averages_to_the_one_at_scale_one(strength: float) -> None:
    """Thin bone on soft tissue: interpolation alone would lose much of its height."""
    net, x = wild(extra_scales=[(2, 2)]), scan(1, 3, 64, 64)
    x[..., 20:24, :] += 600
    s = torch.tensor(strength)
    plain, fine = net(x, strength=s), net(x, strength=s, scale=[2, 2])
    blurred = nn.functional.avg_pool2d(net.bases[1](x[:, 1:2]), 2)
    lost = (nn.functional.avg_pool2d(fine, 2) - plain)[..., 20:24, :].mean()
    assert lost.abs() < 0.35 * (blurred - x[:, 1:2])[..., 20:24, :].mean().abs()


@torch.no_grad()
def test_lock_keeps_the_mean_of_each_tissue_whatever_the_network_says() -> None:
    net, x = wild(), scan(1, 3, 256, 256)
    base, correction = net.base_and_correction(x)
    assert correction.std() > 10, "the correction must be strong for this test to mean anything"
    for tissue in (slice(0, 128), slice(128, 256)):
        assert correction[..., tissue].mean().abs() < 0.5
    assert torch.equal(base, x[:, 1:2])


@torch.no_grad()
def test_a_tile_with_a_halo_gives_the_same_as_the_whole_slice() -> None:
    net, x = wild(), scan(1, 3, 448, 64)
    # Halo: multiples of the lock's cell (32 px) beyond its reach of 2 cells a pass and the receptive field.
    whole, tile = net(x), net(x[..., 32:416, :])
    torch.testing.assert_close(whole[..., 224:256, :], tile[..., 192:224, :], atol=0.05, rtol=0)


@torch.no_grad()
def test_depth_reach_is_the_halo_with_which_a_slab_equals_the_whole_volume() -> None:
    net, x = wild(3, scale=(2, 1, 1), extra_scales=[(3, 1, 1)]), scan(1, 1, 24, 16, 16)
    reach = net.depth_reach
    assert 2 <= reach <= 8
    whole, slab = net(x), net(x[:, :, 10 - reach : 12 + reach])
    torch.testing.assert_close(whole[:, :, 20:24], slab[:, :, 2 * reach : 2 * reach + 4], atol=1e-3, rtol=0)


@torch.no_grad()
def test_styles_by_name_index_code_and_reference_are_one_interface() -> None:
    net, x = wild(), scan(2, 3, 32, 32)
    with torch.no_grad():
        for stage in net.modules():
            if hasattr(stage, "affine"):
                nn.init.normal_(stage.affine.weight, std=0.5)
    by_code = net(x, net.style_code("soft", 2))
    by_index = net(x, torch.tensor([2, 2]))
    assert torch.equal(by_code, by_index)
    assert not torch.allclose(by_code, net(x)), "styles must differ"
    reference = scan(2, 1, 48, 48)
    assert torch.equal(net(x, reference), net(x, net.encode_style(reference)))
    with pytest.raises(ValueError, match="normal-dose"):
        net.style_code("vivid")


@torch.no_grad()
def test_scripted_generator_gives_the_same() -> None:
    net, x = wild(), scan(1, 3, 24, 24)
    torch.testing.assert_close(torch.jit.script(net)(x), net(x))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"in_channels": 2}, "odd"),
        ({"scale": (1, 1, 1)}, "factors"),
        ({"num_blocks": (1,)}, "per level"),
        ({"styles": ("a", "a")}, "distinct"),
        ({"block": "magic"}, "block is"),
        ({"modulation": "magic"}, "modulation is"),
    ],
)
def test_inconsistent_arguments_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        wild(**changes)


@pytest.mark.parametrize(
    "changes", [{"block": "dense"}, {"block": "light"}, {"attention": True}, {"modulation": "adain"}]
)
@torch.no_grad()
def test_variants_run_and_keep_the_promise_of_strength_zero(changes: dict[str, object]) -> None:
    x = scan(1, 3, 32, 32)
    net = wild(**changes)
    assert not torch.allclose(net(x), x[:, 1:2])
    assert torch.equal(net(x, strength=torch.tensor(0.0)), x[:, 1:2])
