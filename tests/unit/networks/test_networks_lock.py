"""The HU lock takes shifts of tissues away and leaves noise-sized corrections alone."""

from __future__ import annotations

import pytest
import torch

from med_stylesr.networks.lock import HULock

LEVELS = (-1000.0, -800.0, -400.0, -90.0, 50.0, 250.0, 900.0)


def lock() -> HULock:
    return HULock(LEVELS, cell=16, smoothing=5, floor=0.005, passes=2)


def test_memberships_are_hats_that_sum_to_one_everywhere() -> None:
    guide = torch.linspace(-2000, 4000, 600).reshape(1, 1, 20, 30)
    member = lock().memberships(guide)
    assert (member >= 0).all()
    torch.testing.assert_close(member.sum(1), torch.ones(1, 20, 30))
    at_levels = lock().memberships(torch.tensor(LEVELS).reshape(1, 1, 1, -1))[0, :, 0]
    torch.testing.assert_close(at_levels, torch.eye(len(LEVELS)))


def test_a_different_shift_of_every_tissue_is_taken_away() -> None:
    guide = torch.full((1, 1, 256, 256), -850.0)
    guide[..., 60:200, 80:220] = 40.0
    guide[..., 100:120, 100:180] = 600.0
    shift = torch.where(guide < -500, -4.0, torch.where(guide < 300, 3.0, 9.0))
    left = lock()(shift, guide, torch.ones_like(shift), [2, 2])
    for tissue in (guide < -500, (guide > 0) & (guide < 100), guide > 500):
        # Thin bone keeps the most: the smoothed guide sees it mixed with what is around it.
        assert left[tissue].mean().abs() < 0.15 * shift[tissue].mean().abs()


def test_tissues_stay_apart_when_the_result_is_still_noisy() -> None:
    """Fat beside muscle under 90 HU of noise, of which the correction removes a third: no tissue may move."""
    torch.manual_seed(0)
    truth = torch.full((1, 1, 256, 256), 50.0)
    truth[..., :, 96:160] = -100.0
    truth[..., 100:150, 180:240] = 400.0
    noise = 90 * torch.randn_like(truth)
    correction = -noise / 3
    left = lock()(correction, truth + noise + correction, torch.ones_like(noise), [2, 2])
    for hu in (50.0, -100.0, 400.0):
        assert left[truth == hu].mean().abs() < 1.0


def test_air_does_not_sink_when_its_lowest_noise_passes_through() -> None:
    """Noise of air below -1024 HU is left alone; taking away the rest of the noise must not lower the mean."""
    torch.manual_seed(0)
    air = -1000 + 40 * torch.randn(1, 1, 256, 256)
    inside = (air >= -1024).float()
    correction = (-1000 - air) * inside
    assert correction.mean() < -5, "without the lock the mean would sink"
    left = lock()(correction, air + correction, inside, [2, 2])
    assert left.mean().abs() < 0.2
    assert (left[inside == 0] == 0).all()


def test_white_noise_keeps_nearly_all_of_its_power() -> None:
    torch.manual_seed(0)
    noise = 20 * torch.randn(1, 1, 256, 256)
    left = lock()(noise, torch.full_like(noise, 40.0), torch.ones_like(noise), [2, 2])
    assert left.std() > 0.98 * noise.std()
    assert left.mean().abs() < 0.02


@pytest.mark.parametrize("shape", [(1, 1, 50, 70), (2, 1, 3, 34, 66)])
def test_any_even_size_and_a_depth_axis_are_taken(shape: tuple[int, ...]) -> None:
    assert lock()(torch.ones(shape), torch.zeros(shape), torch.ones(shape), [2, 2]).abs().max() < 0.05


def test_gradients_reach_the_correction() -> None:
    correction = torch.randn(1, 1, 32, 32, requires_grad=True)
    lock()(correction, torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32), [2, 2]).square().sum().backward()
    assert correction.grad is not None
    assert correction.grad.abs().sum() > 0


def test_levels_must_increase() -> None:
    with pytest.raises(ValueError, match="increasing"):
        HULock((0.0, 0.0), cell=8, smoothing=1, floor=0.1, passes=1)


def test_a_slab_is_locked_like_its_slices_by_themselves() -> None:
    generator = torch.Generator().manual_seed(9)
    correction, guide = (torch.randn(2, 1, 11, 64, 64, generator=generator) * 100 for _ in range(2))
    inside = (guide > -150).float()
    together = lock()(correction, guide, inside, [1, 1])
    for b in range(2):
        for k in range(11):
            alone = lock()(correction[b : b + 1, :, k], guide[b : b + 1, :, k], inside[b : b + 1, :, k], [1, 1])
            torch.testing.assert_close(together[b : b + 1, :, k], alone)
