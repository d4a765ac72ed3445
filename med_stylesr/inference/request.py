"""What can be asked of an enhancement, and what of it is refused whatever the scan; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from med_stylesr.errors import UsageError

DEFAULT_STYLE: Final = "normal-dose"
REFERENCE_STYLE: Final = "reference"
"""Name of the style that was taken from a reference scan."""


@dataclass(frozen=True)
class StrengthRequest:
    """What the user asked for.

    Attributes:
        strength: 0 … 1, or None for automatic.
        dose_fraction: fraction of normal dose the scan was made with, (0, 1], or None if unknown.
        target_noise_hu: noise to leave in HU, or None.
    """

    strength: float | None = None
    dose_fraction: float | None = None
    target_noise_hu: float | None = None

    def check(self) -> None:
        """Refuse numbers that no scan and no bundle can make sense of.

        Raises:
            UsageError: naming the option.
        """
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"--strength {self.strength:g}", "is not between 0 and 1", "use auto or 0 … 1")
        if self.dose_fraction is not None and not 0 < self.dose_fraction <= 1:
            raise UsageError(f"--dose {self.dose_fraction:g}", "is no fraction of normal dose", "use 0 < F ≤ 1")
        if self.target_noise_hu is not None and not (math.isfinite(self.target_noise_hu) and self.target_noise_hu > 0):
            why = "must be more than 0 HU"
            raise UsageError(f"--target-noise {self.target_noise_hu:g}", why, "leave it out or name a noise level")


@dataclass(frozen=True)
class EnhanceOptions:
    """What to do with a scan.

    Attributes:
        scale: super-resolution factors (slice, row, column).
        style: name of a style of the bundle, or `REFERENCE_STYLE`.
        request: strength, or what automatic strength aims at.
        uncertainty: whether the spread of four mirror images is told, voxel by voxel; takes four times as long.
        safe: whether the result gives way to the input where that spread is large; takes as long.
    """

    scale: tuple[int, int, int] = (1, 1, 1)
    style: str = DEFAULT_STYLE
    request: StrengthRequest = field(default_factory=StrengthRequest)
    uncertainty: bool = False
    safe: bool = False


@dataclass(frozen=True)
class Offer:
    """What the bundles at hand can do.

    Attributes:
        styles: names of styles.
        in_plane: factors (row, column).
        through_plane: factors (slice, row, column); empty if that bundle is not loaded.
        weights_sha256: of the bundles that will be used, in order.
        table_sha256: of the table of normal-dose noise, by which automatic strength goes; empty without one.
    """

    styles: tuple[str, ...]
    in_plane: tuple[tuple[int, ...], ...]
    through_plane: tuple[tuple[int, ...], ...]
    weights_sha256: tuple[str, ...]
    table_sha256: str

    @property
    def digests(self) -> tuple[str, ...]:
        """Of all that results depend on."""
        return (*self.weights_sha256, self.table_sha256)

    def check(self, options: EnhanceOptions) -> None:
        """Refuse options that no scan can be enhanced with.

        Raises:
            UsageError: for a style or scale that the bundles do not have, or strengths and doses out of range.
        """
        options.request.check()
        if options.style not in self.styles:
            raise UsageError(f"--style {options.style}", f"this bundle has: {', '.join(self.styles)}")
        sz, sy, sx = options.scale
        _require((sy, sx), self.in_plane, "in plane")
        if sz > 1:
            _require((sz, 1, 1), self.through_plane, "through plane")


def check_scale(scale: Sequence[int], spacing_mm: Sequence[float] | None) -> None:
    """Refuse factors and spacings that mean nothing.

    Raises:
        UsageError: naming the option.
    """
    if any(factor < 1 for factor in scale):
        raise UsageError(_option("--scale", scale), "factors are whole numbers from 1 on", "use --scale 1 1 1 for none")
    if spacing_mm is None:
        return
    if not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise UsageError(_option("--spacing", spacing_mm), "millimetres must be more than 0", "name three lengths")
    if any(factor != 1 for factor in scale):
        raise UsageError("--scale and --spacing", "both say how fine the result is to be", "give one of them")


def _require(scale: tuple[int, ...], offered: Sequence[Sequence[int]], where: str) -> None:
    if list(scale) not in [list(one) for one in offered]:
        known = ", ".join("×".join(map(str, one)) for one in offered)
        raise UsageError(f"scale {'×'.join(map(str, scale))} {where}", f"this bundle offers {known}")


def _option(name: str, values: Sequence[float]) -> str:
    return " ".join([name, *(f"{value:g}" for value in values)])
