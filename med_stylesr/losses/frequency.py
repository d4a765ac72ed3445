"""The radial power spectrum in plane, and a loss on it: the texture of what is left, not its places."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from med_stylesr.losses.reduction import per_sample


class RadialSpectrum(nn.Module):
    r"""Mean power per ring of spatial frequency, \(\overline{|\mathrm{FFT}(w\,(x - \bar x))|^2} / \overline{w^2}\).

    w is a Hann window in plane. White noise of variance v gives v in every ring (the lowest one less, by the mean).

    Args:
        bins: number of rings from zero to the Nyquist frequency; the corners beyond it are left out.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, image: Tensor) -> Tensor:
        """Return the power (B, C, bins) of an image (B, C, …, rows, columns), averaged over slices."""
        rows, columns = image.shape[-2:]
        slices = image.reshape(*image.shape[:2], -1, rows, columns)
        window = torch.outer(torch.hann_window(rows, False), torch.hann_window(columns, False)).to(slices)
        flat = (slices - slices.mean((-2, -1), keepdim=True)) * window
        power = torch.fft.fft2(flat, norm="ortho").abs().square().mean(2) / window.square().mean()
        y, x = (torch.fft.fftfreq(n, device=image.device) for n in (rows, columns))
        ring = ((y[:, None].square() + x.square()).sqrt().flatten() * 2 * self.bins).long()
        inside = ring < self.bins
        total = torch.zeros(*power.shape[:2], self.bins, dtype=power.dtype, device=image.device)
        total = total.index_add(2, ring[inside], power.flatten(2)[..., inside])
        return total / torch.bincount(ring[inside], minlength=self.bins).clamp_min(1)


class NoiseSpectrumLoss(nn.Module):
    r"""Distance of log radial power spectra in plane, \(\overline{|\ln(P_p(f) + c) - \ln(P_t(f) + c)|}\).

    Images are clipped to a window so that bone and air do not drown the noise. The lowest rings hold anatomy and are
    left out.

    Args:
        bins: number of rings up to the Nyquist frequency.
        skip: number of lowest rings left out.
        low_hu: lower clip.
        high_hu: upper clip.
        floor_hu: standard deviation of white noise whose power is c: spectra below it count as equal.
    """

    def __init__(self, bins: int, skip: int, low_hu: float, high_hu: float, floor_hu: float) -> None:
        super().__init__()
        self.spectrum = RadialSpectrum(bins)
        self.skip, self.low_hu, self.high_hu, self.floor = skip, low_hu, high_hu, floor_hu**2

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of shape (B,) for two HU images (B, 1, …, rows, columns) of one size."""
        ours, theirs = (self.spectrum(image.clamp(self.low_hu, self.high_hu)) for image in (pred, target))
        difference = (ours + self.floor).log() - (theirs + self.floor).log()
        return per_sample(difference[..., self.skip :].abs())
