"""Whether a runtime gives what float32 torch gives, measured on a phantom before it may touch a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from med_stylesr.inference.runtime import BFLOAT16, FLOAT32, INT8, Runtime
from med_stylesr.networks.generator import StyleSRGenerator

SIZE: Final = (144, 120)
"""Rows and columns of the phantom: one of them no multiple of what the network works in."""
SLICES: Final = 6
"""Slices of the phantom for 3D networks."""
NOISE_HU: Final = 35.0
"""Noise of the phantom, about that of a low-dose scan: the network has to have something to do."""


@dataclass(frozen=True)
class Limits:
    """How far a runtime may be from float32 torch, in HU.

    Attributes:
        max_hu: any voxel.
        p999_hu: 99.9th percentile of the absolute differences.
        mean_hu: mean absolute difference.
        bias_hu: mean difference, either sign.
    """

    max_hu: float
    p999_hu: float
    mean_hu: float
    bias_hu: float


LIMITS: Final = {
    FLOAT32: Limits(max_hu=0.05, p999_hu=0.05, mean_hu=0.05, bias_hu=0.05),
    BFLOAT16: Limits(max_hu=60.0, p999_hu=6.0, mean_hu=1.0, bias_hu=0.3),
    INT8: Limits(max_hu=120.0, p999_hu=20.0, mean_hu=1.5, bias_hu=0.5),
}


@dataclass(frozen=True)
class Parity:
    """Differences between a runtime and float32 torch in HU; fields as in `Limits`."""

    max_hu: float
    p999_hu: float
    mean_hu: float
    bias_hu: float

    @classmethod
    def between(cls, result: Tensor, reference: Tensor) -> Parity:
        """Measure on two images in HU."""
        difference = (result.double() - reference.double()).flatten()
        if not bool(torch.isfinite(difference).all()):
            return cls(*[float("inf")] * 4)
        size = difference.abs().numpy()
        return cls(
            max_hu=float(size.max()),
            p999_hu=float(np.quantile(size, 0.999)),
            mean_hu=float(size.mean()),
            bias_hu=float(difference.mean()),
        )

    def drift(self, precision: str) -> str:
        """What is beyond the limits, in words; empty if nothing is."""
        limits = asdict(LIMITS[precision])
        beyond = [
            f"{name[:-3]} {value:.3g} HU > {limits[name]:g}"
            for name, value in asdict(self).items()
            if abs(value) > limits[name]
        ]
        return ", ".join(beyond)


def phantom(network: StyleSRGenerator) -> Tensor:
    """HU of all tissues, edges, noise, padding and metal, in the shape that a network takes; always the same.

    Returns:
        (1, C, H, W) or (1, 1, D, H, W), whole HU.
    """
    slices = network.in_channels if network.spatial_dims == 2 else SLICES
    y, x = np.mgrid[-1 : 1 : SIZE[0] * 1j, -1 : 1 : SIZE[1] * 1j]
    hu = np.full((slices, *SIZE), -1000.0)
    for k in range(slices):
        shift = 0.02 * k
        for tissue, centre_y, centre_x, height, width in (
            (-90, 0, 0, 0.9, 0.95),
            (50, 0, 0, 0.82, 0.87),
            (-800, -0.1, -0.45, 0.5, 0.3),
            (-800, -0.1, 0.45, 0.5, 0.3),
            (250, 0.1, 0, 0.12, 0.12),
            (900, 0.62, 0, 0.14, 0.1),
            (60, -0.2, 0.45, 0.06, 0.06),
        ):
            hu[k][((y - centre_y - shift) / height) ** 2 + ((x - centre_x) / width) ** 2 < 1] = tissue
    hu += np.random.default_rng(7).normal(0.0, NOISE_HU, hu.shape)
    hu[:, 40:43, 20:23] = 20_000.0
    hu[:, :4] = -3024.0
    image = torch.from_numpy(np.rint(hu).astype(np.float32))
    return image[None] if network.spatial_dims == 2 else image[None, None]


def compare(runtime: Runtime, reference: Runtime, scale: Sequence[int]) -> Parity:
    """Run the phantom at full strength through both.

    Args:
        runtime: to be judged.
        reference: float32 torch with the same network.
        scale: factors per spatial axis.
    """
    image = phantom(reference.network)
    first = reference.network.style_names[0]
    code = reference.style_code(first)
    base, correction = runtime.run(image, code, scale)
    wanted_base, wanted = reference.run(image, code, scale)
    return Parity.between(base + correction, wanted_base + wanted)
