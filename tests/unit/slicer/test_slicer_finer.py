"""The lower end of a super-resolved blend is what the engine gives at strength 0."""

from __future__ import annotations

import numpy as np
import pytest
from MedStyleSRLib.finer import finer


def scan(shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(3)
    hu = rng.normal(40, 60, shape)
    hu[:, 4:9, 5:12] = 900
    hu[:, :2] = -3000
    hu[:, -3:, -3:] = 5000
    return np.rint(hu).astype(np.int16)


@pytest.mark.parametrize("factors", [(1, 2, 2), (1, 2, 1), (1, 4, 4)])
def test_within_slices_padding_and_metal_stay_and_are_not_mixed_in(factors: tuple[int, int, int]) -> None:
    flat = np.full((4, 12, 14), 40, np.int16)
    np.testing.assert_allclose(finer(flat, factors), 40, atol=1e-3)
    hu = scan((4, 12, 14))
    fine = finer(hu, factors)
    _, y, x = factors
    assert fine.shape == (4, 12 * y, 14 * x)
    # Values that are no HU pass through it, untouched and unmixed.
    for value in (-3000, 5000):
        inside = np.repeat(np.repeat(hu == value, y, 1), x, 2)
        assert (fine[inside] == value).all()
        assert not (fine[~inside] == value).any()


@pytest.mark.parametrize("factors", [(2, 1, 1), (5, 1, 1), (1, 2, 2), (3, 2, 2)])
def test_blocks_of_fine_voxels_average_to_the_coarse_one(factors: tuple[int, int, int]) -> None:
    z, y, x = factors
    rows, columns = np.mgrid[:12, :16] / 8.0
    smooth = 100 * np.sin(rows + columns)[None] + 20 * np.cos(np.arange(6) / 2)[:, None, None]
    fine = finer(smooth, factors)
    blocks = fine.reshape(6, z, 12, y, 16, x).mean(axis=(1, 3, 5))
    assert np.abs(blocks - smooth)[1:-1, 1:-1, 1:-1].max() < 0.5


def test_it_is_what_the_network_adds_its_correction_to() -> None:
    torch = pytest.importorskip("torch")
    from med_stylesr.networks.generator import StyleSRGenerator

    network = StyleSRGenerator(2, 1, [4], [1], [1, 1], 2, extra_scales=[[2, 2]], styles=["a"]).eval()
    hu = scan((1, 16, 16))
    with torch.inference_mode():
        base, _ = network.base_and_correction(torch.from_numpy(hu[:, None].astype(np.float32)), None, [2, 2])
    np.testing.assert_allclose(finer(hu, (1, 2, 2))[0], base[0, 0].numpy(), atol=0.02)


def test_it_can_be_broken_off() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        finer(scan((4, 12, 14)), (2, 2, 2), stop)
