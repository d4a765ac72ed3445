"""The learned correction stays within physics, and learns a spectrum it has only seen unpaired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from med_stylesr.degrade.dose import Calibration, LowDoseSimulator
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.degrade.learned import NoiseDiscriminator, NoiseShaper, UnpairedNoiseTrainer, UnpairedPatches, train

CONFIG = Path(__file__).parents[3] / "configs" / "degrade" / "learned.json"


def shaper(seed: int = 0) -> NoiseShaper:
    torch.manual_seed(seed)
    return NoiseShaper(knots=6, width=4, max_scale=1.5, max_gain=4.0)


def randomised(seed: int) -> NoiseShaper:
    wild = shaper(seed)
    for parameter in wild.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    return wild


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whatever_it_has_learned_the_mean_stays_zero_and_the_sd_that_of_the_dose(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    hu = 1000 * torch.randn(3, 1, 32, 48, generator=random)
    noise = torch.randn(3, 1, 32, 48, generator=random) * torch.tensor([5.0, 20.0, 80.0])[:, None, None, None]
    with torch.no_grad():
        shaped = randomised(seed)(hu, noise)
    sd = noise.std(dim=(1, 2, 3), correction=0)
    assert (shaped.mean(dim=(1, 2, 3)).abs() < 1e-4 * sd).all()
    torch.testing.assert_close(shaped.std(dim=(1, 2, 3), correction=0), sd, rtol=1e-3, atol=0)


def test_untrained_it_is_the_physics() -> None:
    noise = 20 * torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(shaper()(torch.zeros_like(noise), noise), noise, atol=1e-3, rtol=1e-4)


def test_without_noise_it_adds_nothing() -> None:
    with torch.no_grad():
        assert randomised(0)(torch.randn(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)).abs().max() == 0


def coarseness(noise: Tensor) -> float:
    """Share of the power of neighbour differences: small for coarse noise."""
    return float(noise.diff(dim=-1).square().mean() / noise.square().mean())


def test_it_learns_the_coarseness_of_unpaired_scans(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float]
) -> None:
    water = disc(65.0, hu=40.0).expand(4, -1, -1)
    fine = simulator.scan_noise(water, spacing, Calibration(4e5, KERNELS["standard"]), seed=1)
    coarse = simulator.scan_noise(water, spacing, Calibration(1.5e4, KERNELS["smooth"]), seed=2)
    patches = UnpairedPatches(
        [water + fine], [water + coarse], [spacing], simulator, 0.25, patch_px=32, batch=8, body_hu=-300.0, seed=0
    )
    torch.manual_seed(0)
    made = shaper()
    sd = float(coarse[:, 48:80, 48:80].std())
    trainer = UnpairedNoiseTrainer(made, NoiseDiscriminator(8, 2), 0.02, 0.002, 0.0, sd)
    losses: list[float] = []
    train(trainer, patches, 100, lambda step, loss: losses.append(loss["discriminator"]))
    hu, noise, real = next(iter(patches))
    with torch.no_grad():
        learned = made(hu, noise)
    target = coarseness(coarse[:, 48:80, 48:80])
    assert abs(coarseness(learned) - target) < 0.7 * abs(coarseness(noise) - target)
    assert torch.isfinite(torch.tensor(losses)).all()
    assert real.shape == hu.shape == (8, 1, 32, 32)


def test_the_configuration_trains_and_saves(
    simulator: LowDoseSimulator, disc: Callable[..., Tensor], spacing: Sequence[float], tmp_path: Path
) -> None:
    import numpy as np

    from med_stylesr.io.volume_file import write_volume_file
    from med_stylesr.volume import CTVolume

    water = disc(65.0, hu=40.0).expand(2, -1, -1)
    affine = np.diag([1.2, 1.2, 2.0, 1.0])
    for number, name in enumerate(("normal", "low")):
        noise = simulator.scan_noise(water, spacing, Calibration(2e5, KERNELS["soft"]), seed=number)
        write_volume_file(CTVolume((water + noise).numpy().astype(np.float32), affine), tmp_path / f"{name}.nii.gz")
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser.update(
        {
            "normal_dose_files": [str(tmp_path / "normal.nii.gz")],
            "low_dose_files": [str(tmp_path / "low.nii.gz")],
            "save_to": str(tmp_path / "shaper.pt"),
            "steps": 2,
            "patches#patch_px": 32,
        }
    )
    parser.get_parsed_content("run")
    weights = torch.load(tmp_path / "shaper.pt", weights_only=True)
    assert weights["gain"].abs().max() > 0


def test_bounds_that_bind_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="bounds"):
        NoiseShaper(knots=6, width=4, max_scale=0.5, max_gain=4.0)
