"""Scan geometries: where the source and the detector bins of each view are, with published scanner defaults.

Views are spread evenly over the span; the number of views must divide by the number of quarter turns in the span, so
that the projector can use the gantry's symmetry.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

_Geometry = TypeVar("_Geometry", bound="ScanGeometry")


@dataclass(frozen=True, kw_only=True)
class ScanGeometry(ABC):
    """What every geometry has.

    Attributes:
        views: number of views over the span.
        bins: detector bins a view.
        offset_bins: shift of the detector's centre against the isocentre, in bins.
        start_rad: angle of the first view.

    Raises:
        ValueError: if the number of views does not divide by `quarter_turns`, or a size is not positive.
    """

    views: int
    bins: int
    offset_bins: float = 0.0
    start_rad: float = 0.0

    quarter_turns: ClassVar[int]
    span_rad: ClassVar[float]

    def __post_init__(self) -> None:
        if self.views < self.quarter_turns or self.views % self.quarter_turns:
            raise ValueError(f"the number of views must be a positive multiple of {self.quarter_turns}: {self.views}")
        if self.bins < 2 or self.bin_pitch <= 0:
            raise ValueError("a detector needs at least two bins of positive width")

    @property
    @abstractmethod
    def bin_pitch(self) -> float:
        """Step from bin to bin in the unit rows are filtered in (mm or rad)."""

    @property
    @abstractmethod
    def bin_mm(self) -> float:
        """Distance of neighbouring rays at the isocentre, in mm."""

    @property
    @abstractmethod
    def field_radius_mm(self) -> float:
        """Radius of the circle that every view sees whole, in mm."""

    @abstractmethod
    def locate(self, position_mm: Tensor, axes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Fractional bin that sees each position in each view, and the weight of that position.

        Args:
            position_mm: (P, 2) x and y, inside the field.
            axes: (2, V) cosines and sines of the view angles.

        Returns:
            Bins of shape (P, V), and weights of that shape or None if all are 1.
        """

    @abstractmethod
    def coarsened(self: _Geometry, view_factor: int, bin_factor: int) -> _Geometry:
        """Same field with groups of views and bins merged into one at their centre."""

    def view_angles(self, views: range, like: Tensor) -> Tensor:
        """Angles of the given views in rad, on the device and in the type of `like`."""
        index = torch.arange(views.start, views.stop, device=like.device, dtype=like.dtype)
        return index * (self.span_rad / self.views) + self.start_rad

    def bin_positions(self, like: Tensor) -> Tensor:
        """Signed position of each bin's ray, shape (bins,): mm off the isocentre, or fan angle in rad."""
        index = torch.arange(self.bins, device=like.device, dtype=like.dtype)
        return (index - (self.bins - 1) / 2 - self.offset_bins) * self.bin_pitch

    @property
    def nyquist_per_mm(self) -> float:
        """Highest frequency the detector samples at the isocentre, in 1/mm."""
        return 0.5 / self.bin_mm

    def _merged(self: _Geometry, view_factor: int, bin_factor: int, **pitch: float) -> _Geometry:
        if self.views % view_factor or self.bins % bin_factor:
            raise ValueError(f"{self.views} views x {self.bins} bins do not divide by {view_factor} x {bin_factor}")
        return replace(
            self,
            views=self.views // view_factor,
            bins=self.bins // bin_factor,
            offset_bins=self.offset_bins / bin_factor,
            start_rad=self.start_rad + (view_factor - 1) / 2 * self.span_rad / self.views,
            **pitch,
        )


@dataclass(frozen=True, kw_only=True)
class ParallelGeometry(ScanGeometry):
    """Parallel beam over half a turn.

    Attributes:
        ray_mm: distance of neighbouring rays in mm.
    """

    ray_mm: float

    quarter_turns: ClassVar[int] = 2
    span_rad: ClassVar[float] = math.pi

    @property
    def bin_pitch(self) -> float:
        """Distance of neighbouring rays in mm."""
        return self.ray_mm

    @property
    def bin_mm(self) -> float:
        """Distance of neighbouring rays in mm."""
        return self.ray_mm

    @property
    def field_radius_mm(self) -> float:
        """Radius of the circle that every view sees whole, in mm."""
        return ((self.bins - 1) / 2 - abs(self.offset_bins)) * self.ray_mm

    def locate(self, position_mm: Tensor, axes: Tensor) -> tuple[Tensor, None]:
        """Fractional bin that sees each position in each view; every position weighs the same."""
        across = position_mm @ torch.stack([-axes[1], axes[0]])
        return across.div_(self.ray_mm).add_((self.bins - 1) / 2 + self.offset_bins), None

    def coarsened(self, view_factor: int, bin_factor: int) -> ParallelGeometry:
        """Same field with groups of views and bins merged into one at their centre."""
        return self._merged(view_factor, bin_factor, ray_mm=self.ray_mm * bin_factor)


@dataclass(frozen=True, kw_only=True)
class FanBeamGeometry(ScanGeometry):
    """Third-generation fan beam with an arc detector focused on the source (equiangular), over a full turn.

    Attributes:
        source_to_isocenter_mm: distance D in mm.
        bin_rad: angle between neighbouring bins.
    """

    source_to_isocenter_mm: float
    bin_rad: float

    quarter_turns: ClassVar[int] = 4
    span_rad: ClassVar[float] = 2 * math.pi

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source_to_isocenter_mm <= 0:
            raise ValueError("the source must not lie in the isocentre")

    @property
    def bin_pitch(self) -> float:
        """Angle between neighbouring bins in rad."""
        return self.bin_rad

    @property
    def bin_mm(self) -> float:
        """Distance of neighbouring rays at the isocentre, in mm."""
        return self.source_to_isocenter_mm * self.bin_rad

    @property
    def field_radius_mm(self) -> float:
        """Radius of the circle that every view sees whole, in mm."""
        half_fan = ((self.bins - 1) / 2 - abs(self.offset_bins)) * self.bin_rad
        return self.source_to_isocenter_mm * math.sin(min(half_fan, math.pi / 2))

    def locate(self, position_mm: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
        """Fractional bin that sees each position in each view, and 1/L², L being its distance from the source."""
        along = (position_mm @ axes).neg_().add_(self.source_to_isocenter_mm)
        across = position_mm @ torch.stack([-axes[1], axes[0]])
        weight = torch.addcmul(along * along, across, across).reciprocal_()
        angle = across.div_(along).atan_()
        return angle.div_(self.bin_rad).add_((self.bins - 1) / 2 + self.offset_bins), weight

    def coarsened(self, view_factor: int, bin_factor: int) -> FanBeamGeometry:
        """Same field with groups of views and bins merged into one at their centre."""
        return self._merged(view_factor, bin_factor, bin_rad=self.bin_rad * bin_factor)


SCANNERS: dict[str, FanBeamGeometry] = {
    # GE LightSpeed: 541 mm to the isocentre, 949 mm to the detector, 888 channels of 1.0239 mm, 984 views a turn,
    # detector offset 1.25 channels. Source: Wang et al., IEEE Trans Med Imaging 25 (2006) 1272; the same numbers are in
    # Fessler's Michigan Image Reconstruction Toolbox, geometry `ge1`.
    "ge-lightspeed": FanBeamGeometry(
        source_to_isocenter_mm=541.0, bin_rad=1.0239 / 949.0, views=984, bins=888, offset_bins=1.25
    ),
    # Siemens SOMATOM Definition AS+: 595 mm to the isocentre, 1085.6 mm to the detector, 736 channels of 1.2858 mm,
    # 1152 views a turn, quarter offset. Source: DICOM-CT-PD headers of Moen et al., Med Phys 48 (2021) 902,
    # doi 10.1002/mp.14594.
    "siemens-definition": FanBeamGeometry(
        source_to_isocenter_mm=595.0, bin_rad=1.2858 / 1085.6, views=1152, bins=736, offset_bins=0.25
    ),
}
"""Published geometries of two scanners."""
