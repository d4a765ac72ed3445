"""Learned degradation: a small correction of the physical noise, from unpaired low-dose scans of a site.

The generator cannot invent anatomy or move HU: it only rescales the simulated noise locally and reshapes its spectrum,
both within bounds, without any constant part, and gives it back its standard deviation, which the dose decides. It is
trained adversarially against patches of real low-dose scans; the discriminators see high-passed patches at several
scales, so that they judge noise and not anatomy.

Source: least-squares GAN: Mao et al., ICCV 2017, doi 10.1109/ICCV.2017.304; multi-scale patch discriminators: Wang et
al., CVPR 2018, doi 10.1109/CVPR.2018.00917.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from med_stylesr.degrade.calibration import calibrate
from med_stylesr.degrade.dose import LowDoseSimulator
from med_stylesr.hu import HU_MAX, HU_MIN

_HIGH_PASS_PX = 9
"""Edge of the mean that is taken off before the discriminators look: wider structures are anatomy."""


class NoiseShaper(nn.Module):
    """Reshapes simulated noise: G(f) ∗ (s(x)·n), zero mean, SD of n.

    s is a local scale in [1/max_scale, max_scale] that a small net reads off the smoothed scan; G is a radial gain in
    [1/max_gain, max_gain] with G(0) = 0, linear between learned knots.

    Args:
        knots: number of frequencies that the gain is learned at, from 0 to the corner of the spectrum.
        width: features of the net.
        max_scale: bound of the local scale, ≥ 1.
        max_gain: bound of the spectral gain, ≥ 1.
    """

    def __init__(self, knots: int, width: int, max_scale: float, max_gain: float) -> None:
        super().__init__()
        if knots < 2 or max_scale < 1 or max_gain < 1:
            raise ValueError("a noise shaper needs at least two knots and bounds of at least 1")
        self.log_scale_bound, self.log_gain_bound = math.log(max_scale), math.log(max_gain)
        self.gain = nn.Parameter(torch.zeros(knots))
        last = nn.Conv2d(width, 1, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.scale = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            last,
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )

    def forward(self, hu: Tensor, noise: Tensor) -> Tensor:
        """Noise to add instead of `noise`.

        Args:
            hu: (B, 1, H, W) normal-dose HU, even H and W.
            noise: (B, 1, H, W) simulated noise in HU for them.

        Returns:
            (B, 1, H, W) HU of zero mean, each image with the standard deviation of its `noise`.
        """
        smooth = functional.avg_pool2d(hu.clamp(HU_MIN, HU_MAX) / 1000, 5, stride=1, padding=2)
        scaled = noise * torch.exp(self.log_scale_bound * torch.tanh(self.scale(smooth)))
        shaped = torch.fft.irfft2(torch.fft.rfft2(scaled) * self._gains(hu.shape[-2], hu.shape[-1]), s=hu.shape[-2:])
        spread = shaped.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return shaped * (noise.std(dim=(1, 2, 3), keepdim=True, correction=0) / spread.clamp_min(1e-6))

    def _gains(self, height: int, width: int) -> Tensor:
        """G at every frequency of a real two-dimensional spectrum, (height, width//2 + 1)."""
        device, knots = self.gain.device, len(self.gain)
        radius = torch.hypot(
            torch.fft.fftfreq(height, device=device)[:, None], torch.fft.rfftfreq(width, device=device)
        )
        place = (radius / math.sqrt(0.5) * (knots - 1)).clamp(max=knots - 1)
        left = place.long().clamp(max=knots - 2)
        log_gain = self.log_gain_bound * torch.tanh(self.gain)
        gains = torch.exp(torch.lerp(log_gain[left], log_gain[left + 1], place - left))
        return torch.where(radius == 0, torch.zeros_like(gains), gains)


class NoiseDiscriminator(nn.Module):
    """Patch discriminators on the high-passed image at full, half, quarter … scale.

    Args:
        width: features of the first layer.
        scales: number of scales.
    """

    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1, width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(2 * width, 1, 3, padding=1),
            )
            for _ in range(scales)
        )

    def forward(self, hu: Tensor, noise_sd_hu: float) -> list[Tensor]:
        """Scores (B, 1, h, w) a scale.

        Args:
            hu: (B, 1, H, W) HU.
            noise_sd_hu: what the high-passed image is divided by.
        """
        mean = functional.avg_pool2d(hu, _HIGH_PASS_PX, 1, _HIGH_PASS_PX // 2, count_include_pad=False)
        detail = ((hu - mean) / noise_sd_hu).clamp(-6, 6)
        scores = []
        for judge in self.judges:
            scores.append(judge(detail))
            detail = functional.avg_pool2d(detail, 2)
        return scores


class UnpairedPatches:
    """Endless batches of (normal dose, simulated noise for it, real low dose), the latter from other scans.

    Args:
        normal_dose: scans (K, H, W) in HU.
        low_dose: real low-dose scans (K, H, W) in HU.
        spacing_mm: slice, row and column spacing of the normal-dose scans.
        simulator: makes the noise.
        dose_fraction: dose of the low-dose scans as a share of the normal one.
        patch_px: edge of the patches, even.
        batch: patches a batch.
        body_hu: patches are centred where the scan is above.
        seed: of noise and patches.
    """

    def __init__(
        self,
        normal_dose: Sequence[Tensor],
        low_dose: Sequence[Tensor],
        spacing_mm: Sequence[Sequence[float]],
        simulator: LowDoseSimulator,
        dose_fraction: float,
        patch_px: int,
        batch: int,
        body_hu: float,
        seed: int,
    ) -> None:
        self.low_dose, self.patch_px, self.batch, self.body_hu = list(low_dose), patch_px, batch, body_hu
        self.pairs = []
        for number, (hu, spacing) in enumerate(zip(normal_dose, spacing_mm, strict=True)):
            fitted = calibrate(simulator, hu, spacing)
            self.pairs.append(
                torch.stack([hu, simulator.noise(hu, spacing, dose_fraction, fitted, seed=seed + number)])
            )
        self._generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield batches, each tensor (B, 1, patch_px, patch_px)."""
        while True:
            made = [self._patch(self.pairs[self._draw(len(self.pairs))]) for _ in range(self.batch)]
            real = [self._patch(self.low_dose[self._draw(len(self.low_dose))][None]) for _ in range(self.batch)]
            both = torch.stack(made)
            yield both[:, 0, None], both[:, 1, None], torch.stack(real)

    def _patch(self, stack: Tensor) -> Tensor:
        """(C, patch_px, patch_px) around a random voxel of the patient."""
        k, row, column = self._voxel(stack[0])
        corner = [
            min(max(0, c - self.patch_px // 2), n - self.patch_px)
            for c, n in zip((row, column), stack.shape[2:], strict=True)
        ]
        return stack[:, k, corner[0] : corner[0] + self.patch_px, corner[1] : corner[1] + self.patch_px]

    def _voxel(self, hu: Tensor) -> list[int]:
        for _ in range(100):
            place = [self._draw(n) for n in hu.shape]
            if hu[tuple(place)] > self.body_hu:
                break
        return place

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self._generator))


class UnpairedNoiseTrainer:
    """Trains a shaper and its discriminators with least-squares adversarial losses.

    Args:
        shaper: the generator.
        discriminator: its judges.
        shaper_lr: learning rate of the shaper.
        discriminator_lr: learning rate of the discriminators.
        restraint: weight of the penalty on leaving the physics (mean square of the parameters of the gain).
        noise_sd_hu: typical noise of the low-dose scans, the discriminators' unit.
    """

    def __init__(
        self,
        shaper: NoiseShaper,
        discriminator: NoiseDiscriminator,
        shaper_lr: float,
        discriminator_lr: float,
        restraint: float,
        noise_sd_hu: float,
    ) -> None:
        self.shaper, self.discriminator = shaper, discriminator
        self.restraint, self.noise_sd_hu = restraint, noise_sd_hu
        self._shaper_steps = torch.optim.Adam(shaper.parameters(), shaper_lr, betas=(0.5, 0.99))
        self._judge_steps = torch.optim.Adam(discriminator.parameters(), discriminator_lr, betas=(0.5, 0.99))

    def step(self, hu: Tensor, noise: Tensor, low_dose: Tensor) -> dict[str, float]:
        """One step of both sides on a batch of `UnpairedPatches`; returns the losses."""
        made = hu + self.shaper(hu, noise)
        judged = self._gap(low_dose, 1.0) + self._gap(made.detach(), 0.0)
        self._judge_steps.zero_grad()
        judged.backward()
        self._judge_steps.step()
        fooled = self._gap(made, 1.0) + self.restraint * self.shaper.gain.square().mean()
        self._shaper_steps.zero_grad()
        fooled.backward()
        self._shaper_steps.step()
        return {"discriminator": float(judged.detach()), "shaper": float(fooled.detach())}

    def _gap(self, hu: Tensor, target: float) -> Tensor:
        scores = self.discriminator(hu, self.noise_sd_hu)
        return torch.stack([(score - target).square().mean() for score in scores]).mean()


def train(
    trainer: UnpairedNoiseTrainer,
    patches: UnpairedPatches,
    steps: int,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> NoiseShaper:
    """Run `steps` training steps and return the shaper.

    Args:
        trainer: what trains.
        patches: what it trains on.
        steps: number of steps.
        report: told (step, losses) after each.
    """
    for step, batch in zip(range(steps), patches, strict=False):
        losses = trainer.step(*batch)
        if report is not None:
            report(step, losses)
    return trainer.shaper
