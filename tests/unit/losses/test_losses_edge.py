"""The edge loss: what it rewards, what it must not reward, and that it can be trained with."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import exp1

from med_stylesr.errors import UsageError
from med_stylesr.losses.edge import EdgePreservingLoss


def make(spatial_dims: int = 2, **changes: object) -> EdgePreservingLoss:
    arguments: dict[str, object] = {
        "spatial_dims": spatial_dims,
        "windows": [[40, 400], [-600, 1500]],
        "spacing": [1.0] * spatial_dims,
        "scales": 2,
        "pool": [2] * spatial_dims,
        "clean_sigma": [1.0] * spatial_dims,
        "noise_factor": 3.0,
        "floor_hu": 5.0,
        "flat_weight": 0.0,
        "direction_weight": 0.5,
        "epsilon_hu": 2.0,
    }
    return EdgePreservingLoss(**{**arguments, **changes})  # type: ignore[arg-type]


def step_image(size: int = 48, low: float = -90.0, high: float = 50.0) -> torch.Tensor:
    image = torch.full((1, 1, size, size), low)
    image[..., size // 2 :] = high
    return image


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_equal_images_cost_nothing(spatial_dims: int) -> None:
    image = 300 * torch.randn([2, 1] + [12] * spatial_dims)
    assert make(spatial_dims)(image, image).abs().max() < 1e-5


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_gradcheck_in_double_precision(spatial_dims: int) -> None:
    torch.manual_seed(0)
    shape = [2, 1] + [6] * spatial_dims
    pred, target = (80 * torch.randn(shape, dtype=torch.float64) for _ in range(2))
    loss = make(spatial_dims, windows=[[40, 400]])
    assert torch.autograd.gradcheck(lambda p: loss(p, target), pred.requires_grad_(True), eps=1e-4, atol=1e-6)


def test_never_negative_and_grows_with_blur() -> None:
    target = step_image()
    loss = make()
    costs = []
    for width in (3, 5, 9):
        blurred = torch.nn.functional.avg_pool2d(
            torch.nn.functional.pad(target, [width // 2] * 4, mode="replicate"), width, stride=1
        )
        costs.append(loss(blurred, target).item())
    assert 0 < costs[0] < costs[1] < costs[2]


def test_target_noise_is_not_rewarded() -> None:
    """Against losing the edge, losing the noise must cost far less than in a gradient loss without the weights."""
    torch.manual_seed(1)
    clean = step_image(96)
    noisy = clean + 20 * torch.randn_like(clean)

    def noise_per_edge(loss: EdgePreservingLoss) -> float:
        return (loss(clean, noisy) / loss(noisy - clean, noisy)).item()

    assert noise_per_edge(make()) < noise_per_edge(make(flat_weight=1.0)) / 2


def test_weight_is_high_on_the_edge_and_low_in_noise() -> None:
    torch.manual_seed(2)
    loss = make()
    noisy = step_image(96) + 20 * torch.randn(1, 1, 96, 96)
    window = loss.windows[0]
    weight = loss.edge_weight(window(loss.blur(noisy)), window.half_width)
    assert weight[..., 47:49].mean() > 0.8
    assert weight[..., 10:38].mean() < 0.2


@pytest.mark.parametrize("share", [0.0, 0.6, 0.8])
def test_noise_is_told_from_edges_however_much_air_is_in_the_patch(share: float) -> None:
    """The window flattens the noise of air; taken for the patch's, tissue noise would count as edges."""
    torch.manual_seed(3)
    loss, air = make(floor_hu=0.5), int(128 * share)
    image = torch.full((1, 1, 128, 128), 40.0)
    image[..., :air] = -1000.0
    window = loss.windows[0]
    guide = window(loss.blur(image + 20 * torch.randn_like(image)))
    assert loss.edge_weight(guide, window.half_width)[..., 8:-8, air + 8 : -8].mean() < 0.2


@pytest.mark.parametrize("factor", [2.0, 3.0, 5.0])
def test_weight_of_pure_noise_is_the_mean_over_a_rayleigh_variable(factor: float) -> None:
    torch.manual_seed(4)
    loss = make(noise_factor=factor, floor_hu=0.001)
    window = loss.windows[0]
    guide = window(loss.blur(40 + 2 * torch.randn(1, 1, 256, 256)))
    z = factor**2 / 2
    expected = 1 - z * math.exp(z) * float(exp1(z))
    assert loss.edge_weight(guide, window.half_width).mean().item() == pytest.approx(expected, rel=0.03)


def test_direction_moves_a_flat_prediction_which_size_alone_does_not() -> None:
    target = step_image()
    pulls = []
    for weight in (0.0, 1.0):
        flat = torch.full_like(target, -20.0).requires_grad_(True)
        make(direction_weight=weight)(flat, target).sum().backward()
        assert flat.grad is not None
        # Towards the target: down on the dark side of the edge, up on the bright one.
        pulls.append((flat.grad[..., 22:24].sum() - flat.grad[..., 24:26].sum()).item())
    assert abs(pulls[0]) < 1e-6
    assert pulls[1] > 1e-3


def test_an_axis_counts_the_same_on_every_scale_of_a_volume_with_thick_slices() -> None:
    """Averaging in plane alone makes voxels rounder: gradients must be measured in lengths, not in voxels."""
    loss = make(3, spacing=[2.0, 1.0, 1.0], pool=[1, 2, 2])
    k, j = torch.meshgrid(torch.arange(12.0), torch.arange(24.0), indexing="ij")
    ramp = (2.0 * k + j)[None, None, :, :, None].expand(1, 1, 12, 24, 24)  # one unit per length along both axes
    for scale, image in enumerate((ramp, loss._shrink(ramp))):
        through, along, _ = loss.gradients[scale](image)[0, 0, :, 6, 6, 6]
        torch.testing.assert_close(through, along)


def test_direction_term_sees_a_turned_edge_of_equal_height() -> None:
    target = step_image()
    turned = target.transpose(2, 3)
    plain, directed = make(direction_weight=0.0), make(direction_weight=1.0)
    flipped = step_image(low=50.0, high=-90.0)
    assert directed(turned, target) > plain(turned, target)
    # An edge of the same height in the opposite sense differs in direction only.
    small = plain(flipped, target).item()
    assert directed(flipped, target).item() > 10 * max(small, 1e-4)


def test_window_decides_which_contrast_counts() -> None:
    soft, lung = make(windows=[[40, 400]]), make(windows=[[-600, 1500]])
    in_lung = step_image(low=-900.0, high=-600.0)
    flat = torch.full_like(in_lung, -750.0)
    assert lung(flat, in_lung) > 5 * soft(flat, in_lung)


def test_flat_patch_and_one_sample_at_a_time() -> None:
    flat = torch.full((1, 1, 16, 16), 40.0)
    assert torch.isfinite(make()(flat + 1, flat)).all()
    pair = torch.cat([step_image(), torch.full((1, 1, 48, 48), 0.0)])
    other = pair + 10 * torch.randn_like(pair)
    loss = make()
    each = torch.cat([loss(other[k : k + 1], pair[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(loss(other, pair), each)


def test_impossible_arguments_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="flat_weight"):
        make(flat_weight=2.0)
    with pytest.raises(UsageError, match="spacing"):
        make(spacing=[1.0])
    with pytest.raises(ValueError, match="differ in shape"):
        make()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 9, 8))
