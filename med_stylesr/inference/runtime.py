"""What runs the network: slices in, base image and correction out, in bands of rows where a slice is very large.

A runtime runs the convolutions (`StyleSRGenerator.residuals`: all of the cost) in its own way. Interpolation, HU lock
and pass-through stay in torch and float32 in all of them, so that no runtime can move HU or geometry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from med_stylesr.errors import UsageError
from med_stylesr.inference.side_by_side import Lanes
from med_stylesr.inference.tiling import Band, bands
from med_stylesr.networks.generator import StyleSRGenerator

ROWS_PER_BAND = 2_500_000
"""Pixels of a slice that are run at once; larger slices (beyond about 1580²) go in bands, to bound memory."""
FLOAT32 = "float32"
BFLOAT16 = "bfloat16"
INT8 = "int8"


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


class Runtime(ABC):
    """Runs a generator; the kinds differ in how its convolutions are run.

    Args:
        network: the generator, on its device, in evaluation mode.
        pixels_per_band: see `ROWS_PER_BAND`.
        lanes: how many threads may call `run` at the same time.

    Attributes:
        lanes: to run slices side by side.
        name: of the kind.
        version: of the library behind it.
        precision: "float32", "bfloat16" or "int8" (of the inner ones), of the convolutions.
        notes: what a user should know of the choice of this runtime, one line each.
    """

    name: ClassVar[str]
    version: str
    precision: str

    def __init__(self, network: StyleSRGenerator, pixels_per_band: int = ROWS_PER_BAND, lanes: int = 1) -> None:
        self.network = network
        self.lanes = Lanes(lanes)
        self.device = next(network.parameters()).device
        self.pixels_per_band = pixels_per_band
        self.notes: list[str] = []
        self._learned: dict[str, Tensor] = {}

    @abstractmethod
    def residuals(self, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        """See `StyleSRGenerator.residuals`; float32, on the device of the input."""

    def facts(self) -> dict[str, Any]:
        """JSON-able record for the manifest."""
        return {
            "runtime": self.name,
            "version": self.version,
            "precision": self.precision,
            "device": self.device.type if self.device.type == "cpu" else torch.cuda.get_device_name(self.device),
        }

    def learn_style(self, name: str, code: Tensor) -> None:
        """Offer a further style under a name: its code (1, style_dim)."""
        self._learned[name] = code.detach()

    def style_code(self, style: str) -> Tensor:
        """Code (1, style_dim) of a named style.

        Raises:
            UsageError: if the network has no such style.
        """
        if style in self._learned:
            return self._learned[style]
        try:
            return self.network.style_code(style).detach()
        except ValueError as error:
            raise UsageError(f"--style {style}", str(error)) from None

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
        codes = code.expand(image.shape[0], -1)
        parts = []
        for band in bands(rows, columns, self.pixels_per_band):
            piece = image[..., band.read_start : band.read_stop, :].to(self.device)
            residuals = self.residuals(self.network.bounded(piece), codes, list(scale))
            both = self.network.compose(piece, residuals, list(scale))
            parts.append([_kept(tensor, band, factor).cpu() for tensor in both])
        if len(parts) == 1:
            return parts[0][0], parts[0][1]
        return torch.cat([p[0] for p in parts], dim=-2), torch.cat([p[1] for p in parts], dim=-2)


class TorchRuntime(Runtime):
    """Eager torch in float32: the reference that every other runtime is held against."""

    name = "torch"
    version = torch.__version__
    precision = FLOAT32

    def __init__(self, network: StyleSRGenerator, pixels_per_band: int = ROWS_PER_BAND) -> None:
        super().__init__(network, pixels_per_band)
        lay_out_channels_last(network)

    def residuals(self, bounded: Tensor, code: Tensor, scale: list[int]) -> list[Tensor]:
        """See `StyleSRGenerator.residuals`."""
        return self.network.residuals(channels_last(bounded), code, scale)


def lay_out_channels_last(network: torch.nn.Module) -> None:
    """Put the weights of 2D convolutions in the layout in which dense ones run near a processor's peak."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def channels_last(x: Tensor) -> Tensor:
    """The same values, in that layout if they are a 2D image."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _kept(tensor: Tensor, band: Band, factor: int) -> Tensor:
    start = (band.start - band.read_start) * factor
    return tensor[..., start : start + (band.stop - band.start) * factor, :]
