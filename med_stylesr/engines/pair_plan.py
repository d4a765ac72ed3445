"""What training batches out of cached scans are to be: styles and their targets, scales, doses, variety."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NOISE_FREE: Final = "noise-free"
"""Style without any noise: the end of the strength scale that no dose is needed for."""


_USUAL_NOISE_HU: Final = 20.0
_LEAST_NOISE_HU: Final = 2.0


def sample_weight(noise_hu: float, power: float) -> float:
    """What a sample counts whose inserted noise has this standard deviation; see `BatchPlan.noise_power`."""
    return float((_USUAL_NOISE_HU / (_LEAST_NOISE_HU + noise_hu)) ** power)


def kept_noise(style: str, dose_fraction: float) -> float:
    """Share of the inserted noise that stands in a style's target.

    Raises:
        ValueError: for a style without a definition here.
    """
    if style in ("smooth", NOISE_FREE):
        return 0.0
    if style in ("normal-dose", "soft", "sharp"):
        return math.sqrt(dose_fraction) / (1 + math.sqrt(dose_fraction))
    if style == "as-is":
        return 1.0
    raise ValueError(f"no training target is defined for style {style!r}")


@dataclass(frozen=True)
class KernelStyle:
    """Style that asks for one kernel: (1 + boost (f / f50)²) 2^(−(f / f50)^order) times the scan's own.

    Attributes:
        f50_per_mm: frequency at which the roll-off has halved.
        order: its steepness.
        boost: edge enhancement.
        already: names of scans whose own kernel is the wanted one: they are their own target.
        input_boost: largest edge enhancement of the inputs that the style has to work on; 0: inputs are softer only.
    """

    f50_per_mm: float
    order: float
    boost: float
    already: Sequence[str] = ()
    input_boost: float = 0.0


@dataclass(frozen=True)
class References:
    """Batches whose style is told by a reference image instead of a name; 2D and scale 1 only.

    Every sample gets a kernel of its own, and the reference is another piece of the same scan at normal dose through
    that kernel: so the style encoder learns what a kernel looks like, and not what a body part does.

    Attributes:
        probability: share of such batches among those of scale 1.
        f50_px: range of the wanted kernels' half-way frequency, cycles per pixel.
        boost: their largest edge enhancement.
        input_boost: largest edge enhancement of the inputs.
        size: rows and columns of a reference.
    """

    probability: float = 0.0
    f50_px: tuple[float, float] = (0.15, 0.8)
    boost: float = 3.0
    input_boost: float = 3.0
    size: int = 96


@dataclass(frozen=True)
class BatchPlan:
    """What a batch looks like.

    Attributes:
        batch_size: samples.
        patch: rows and columns of an input patch.
        slices: 2D: slices of context, odd. 3D: slices of the input slab.
        scales: factors per spatial axis, one drawn per batch.
        styles: names of the network's bank, in its order.
        trained_styles: those drawn, one per sample.
        dose_range: lowest and highest dose fraction.
        dose_skew: doses are low · (high / low)^(u^skew), u even in 0 … 1: evenly in log for 1, more low ones above. A
            network that cannot know the dose leaves the noise of quiet scans alone if such noise was often that of a
            full dose in training.
        noise_power: samples count (20 HU / (2 HU + standard deviation of their noise))^power. At 0 a scan with little
            noise hardly counts, since its errors are small; at 1 all count alike.
        air: share of samples taken from anywhere in a slice; of the others few lie in the air around the body, whose
            noise no window of soft tissue shows.
        variety: arguments of `Variety`.
        kernel_styles: arguments of `KernelStyle` for each of the styles that ask for a kernel; only at scale 1.
        references: arguments of `References`.
    """

    batch_size: int
    patch: int
    slices: int
    scales: Sequence[Sequence[int]]
    styles: Sequence[str]
    trained_styles: Sequence[str]
    dose_range: tuple[float, float]
    dose_skew: float = 1.0
    noise_power: float = 0.0
    air: float = 0.0
    variety: Mapping[str, Any] = field(default_factory=dict)
    kernel_styles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    references: Mapping[str, Any] = field(default_factory=dict)
