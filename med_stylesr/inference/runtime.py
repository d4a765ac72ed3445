"""What runs the network: slices in, base image and correction out, in bands of rows where a slice is very large."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from med_stylesr.errors import UsageError
from med_stylesr.inference.tiling import Band, bands
from med_stylesr.networks.generator import StyleSRGenerator

ROWS_PER_BAND = 2_500_000
"""Pixels of a slice that are run at once; larger slices (beyond about 1580²) go in bands, to bound memory."""


def pick_device(name: str) -> torch.device:
    """Device for "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}", "is no device", "use auto, cpu or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}", "is not supported", "use auto, cpu or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"--device {name}", f"this machine has {count} CUDA devices", "use auto or cpu")
    return device


class TorchRuntime:
    """Runs a generator eagerly in float32.

    Args:
        network: the generator, on its device, in evaluation mode.
        pixels_per_band: see `ROWS_PER_BAND`.
    """

    def __init__(self, network: StyleSRGenerator, pixels_per_band: int = ROWS_PER_BAND) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self.pixels_per_band = pixels_per_band
        if network.spatial_dims == 2:
            # Dense convolutions run near the CPU's peak in this layout only.
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def style_code(self, style: str, towards: str, share: float) -> Tensor:
        """Code (1, style_dim) on the line from one named style (share 0) to another (share 1).

        Raises:
            UsageError: if the network has no such style.
        """
        try:
            start, end = self.network.style_code(style), self.network.style_code(towards)
        except ValueError as error:
            raise UsageError(f"--style {style}", str(error)) from None
        return torch.lerp(start, end, share)

    @torch.inference_mode()
    def run(self, image: Tensor, code: Tensor, scale: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Base and correction (see `StyleSRGenerator.base_and_correction`) on the CPU.

        Args:
            image: HU (B, C, H, W) or (1, 1, D, H, W).
            code: style code (1, style_dim).
            scale: factors per spatial axis.
        """
        rows, columns = image.shape[-2], image.shape[-1]
        factor = int(scale[-2])
        parts = []
        for band in bands(rows, columns, self.pixels_per_band):
            piece = image[..., band.read_start : band.read_stop, :].to(self.device)
            if piece.dim() == 4:
                piece = piece.contiguous(memory_format=torch.channels_last)
            both = self.network.base_and_correction(piece, code.expand(image.shape[0], -1), list(scale))
            parts.append([_kept(tensor, band, factor).cpu() for tensor in both])
        if len(parts) == 1:
            return parts[0][0], parts[0][1]
        return torch.cat([p[0] for p in parts], dim=-2), torch.cat([p[1] for p in parts], dim=-2)


def _kept(tensor: Tensor, band: Band, factor: int) -> Tensor:
    start = (band.start - band.read_start) * factor
    return tensor[..., start : start + (band.stop - band.start) * factor, :]
