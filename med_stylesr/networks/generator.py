"""The generator: normal-dose style and super-resolution in one network, HU in and HU out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from med_stylesr.hu import HU_MAX, HU_MIN, Window
from med_stylesr.networks.adain import StyleEncoder
from med_stylesr.networks.convolution import convolution
from med_stylesr.networks.lock import HULock
from med_stylesr.networks.sizes import check_sizes
from med_stylesr.networks.trunk import BlockCount, StyledTrunk
from med_stylesr.networks.upsample import (
    CubicUpsample,
    channels_to_space,
    last_axis_to_channels,
    nearest_upsample,
    space_to_last_axis,
)


class StyleSRGenerator(StyledTrunk):
    """Residual U-shaped generator on half-resolution features, modulated by a style code.

        pred = U(x) + strength · L(R(x, style)),

    with U the cubic interpolation of the centre slice (the identity at scale 1), R the network and L the HU lock. In
    plane, both terms are corrected by one step of back-projection, U(term of scale 1 − block mean of the term), so that
    the super-resolved image averages to the one at scale 1 (Irani & Peleg 1991, doi:10.1016/1049-9652(91)90045-L); this
    needs a head of scale 1.
    Voxels of the input outside [HU_MIN, HU_MAX] (padding, metal) pass through untouched.

    Args:
        spatial_dims: 2 (a slice with its neighbours as channels) or 3 (a slab).
        in_channels: 2D: number of slices of context, odd, the centre one is enhanced. 3D: 1.
        features: channels per level; level 0 works at half resolution in plane, each further level halves again.
        num_blocks: see `StyledTrunk`.
        scale: super-resolution factor per spatial axis, in array order, of the default head.
        extra_scales: scales of further heads on the same trunk.
        style_dim: length of a style code.
        styles: names of the learned codes; the first one is the default.
        block: "residual", "dense" or "light".
        modulation: "film" (local) or "adain" (global statistics).
        attention: channel attention after each stage (global statistics).
        style_features: channels of the style encoder.
        style_window: (centre, width) in HU in which the style encoder looks at a reference.
        input_windows: (centre, width) pairs in HU: besides its full range the network sees the image through each of
            them, tanh(2 (x − centre) / width), where a few HU are a large step. Bfloat16 would lose them otherwise.
        residual_hu: HU that one unit of the last layer stands for: about the noise of a low-dose scan.
        lock_levels_hu: tissue levels of the HU lock.
        lock_cell: cell of the HU lock in half-resolution voxels.
        lock_smoothing: see `HULock`.
        lock_floor: see `HULock`.
        lock_passes: see `HULock`.

    Raises:
        ValueError: for inconsistent sizes.

    Source: conditional U-shaped residual net after Lim et al., CVPRW 2017, doi:10.1109/CVPRW.2017.151 (residual blocks
    without normalisation) and Shi et al., CVPR 2016, doi:10.1109/CVPR.2016.207 (sub-pixel output).
    """

    __jit_unused_properties__: ClassVar[list[str]] = ["depth_reach"]

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        num_blocks: Sequence[BlockCount],
        scale: Sequence[int],
        style_dim: int,
        extra_scales: Sequence[Sequence[int]] = (),
        styles: Sequence[str] = ("normal-dose", "smooth", "soft", "sharp"),
        block: str = "residual",
        modulation: str = "film",
        attention: bool = False,
        style_features: int = 16,
        style_window: Sequence[float] = (40.0, 400.0),
        input_windows: Sequence[Sequence[float]] = ((40.0, 400.0), (-750.0, 800.0)),
        residual_hu: float = 50.0,
        lock_levels_hu: Sequence[float] = (-1000.0, -800.0, -400.0, -90.0, 50.0, 250.0, 900.0),
        lock_cell: int = 16,
        lock_smoothing: int = 5,
        lock_floor: float = 0.005,
        lock_passes: int = 2,
    ) -> None:
        check_sizes(spatial_dims, in_channels, features, num_blocks, [scale, *extra_scales], styles)
        channels = in_channels * 4 * (1 + len(input_windows))
        super().__init__(spatial_dims, channels, features, num_blocks, style_dim, block, modulation, attention)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.centre = in_channels // 2
        # Attributes, since TorchScript sees no module constants.
        self.hu_min, self.hu_max = HU_MIN, HU_MAX
        self.style_names = tuple(styles)
        self.style_dim = style_dim
        self.scales = [[int(s) for s in one] for one in [scale, *extra_scales]]
        self.scales_unit = [1] * spatial_dims
        self.has_unit_head = self.scales_unit in self.scales
        # In-plane size that the down-sampling levels divide evenly.
        self.multiple = 2 ** len(features)
        self.leading = spatial_dims - 2

        self.windows = [[float(centre), float(width)] for centre, width in input_windows]
        self.residual_hu = residual_hu
        self.tails = nn.ModuleList()
        self.bases = nn.ModuleList()
        for one in self.scales:
            outputs = 4
            for s in one:
                outputs *= s
            self.tails.append(convolution(spatial_dims, features[0], outputs, 3, gain=0.0))
            self.bases.append(CubicUpsample(one))
        self.lock = HULock(lock_levels_hu, lock_cell, lock_smoothing, lock_floor, lock_passes)
        self.style_bank = nn.Parameter(torch.randn(len(self.style_names), style_dim) * 0.1)
        self.style_encoder = StyleEncoder(style_features, style_dim, Window(style_window[0], style_window[1]))

    @property
    def depth_reach(self) -> int:
        """Input slices on either side that a slice's prediction depends on: the halo of a slab."""
        if self.spatial_dims == 2:
            return self.centre
        convolutions = [m for m in self.modules() if isinstance(m, nn.Conv3d)]
        # Only one of the tails runs; the cubic base reaches two slices.
        return max(2, sum(m.kernel_size[0] // 2 for m in convolutions) - (len(self.tails) - 1))

    def encode_style(self, reference: Tensor) -> Tensor:
        """Style codes (B, style_dim) of reference scans in HU, (B, 1, H, W) or (B, 1, D, H, W)."""
        return self.style_encoder(reference)

    @torch.jit.unused
    def style_code(self, name: str, batch: int = 1) -> Tensor:
        """Code of a named style of the bank, (batch, style_dim).

        Raises:
            ValueError: if the bank has no such style.
        """
        if name not in self.style_names:
            raise ValueError(f"no style {name!r}; this bundle has {', '.join(self.style_names)}")
        return self.style_bank[self.style_names.index(name)].expand(batch, -1)

    def forward(
        self,
        image: Tensor,
        style: Tensor | None = None,
        strength: Tensor | None = None,
        scale: list[int] | None = None,
    ) -> Tensor:
        """Enhance.

        Args:
            image: HU, (B, in_channels, H, W) or (B, 1, D, H, W), any size.
            style: None: the first style of the bank; (B,) int64: indices into the bank; (B, style_dim): codes;
                (B, 1, H, W) or (B, 1, D, H, W): reference scans in HU, encoded here.
            strength: 0 … 1, a scalar or one per sample; None is 1.
            scale: which head, by its scale; None is the default head.

        Returns:
            HU, (B, 1, *(spatial · scale)).
        """
        base, correction = self.base_and_correction(image, style, scale)
        if strength is None:
            return base + correction
        if strength.dim() > 0:
            strength = strength.reshape([-1] + [1] * (self.spatial_dims + 1))
        return base + strength * correction

    @torch.jit.export
    def base_and_correction(
        self, image: Tensor, style: Tensor | None = None, scale: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The two terms of the prediction; any strength is a weighted sum of them.

        Args:
            image: see `forward`.
            style: see `forward`.
            scale: see `forward`.

        Returns:
            U(x) and L(R(x)), both float32 HU of the output's size. Voxels to be passed through are as they were in
            U(x) and zero in L(R(x)).

        Raises:
            ValueError: if no head has that scale.
        """
        factor = self.scales[0] if scale is None else scale
        image = image.float()
        residuals = self.residuals(self.bounded(image), self._code(style, image.shape[0]), factor)
        return self.compose(image, residuals, factor)

    @torch.jit.export
    def bounded(self, image: Tensor) -> Tensor:
        """What the convolutions see of an image: clamped to [HU_MIN, HU_MAX], rows and columns padded to `multiple`."""
        return self._padded(image.float().clamp(self.hu_min, self.hu_max))

    @torch.jit.export
    def residuals(self, bounded: Tensor, code: Tensor, factor: list[int]) -> list[Tensor]:
        """All that is convolution, and all of the cost: what a runtime exports and may run in lower precision.

        Args:
            bounded: see `bounded`.
            code: style codes (B, style_dim).
            factor: which head, by its scale.

        Returns:
            Corrections in HU before the lock, (B, 1, *(spatial · factor)); then that of scale 1 where `compose`
            corrects by it.

        Raises:
            ValueError: if no head has that scale.
        """
        # Channels last, as convolutions want them: compiled networks reorder them otherwise, at the cost of a layer.
        views = self._views(space_to_last_axis(bounded, self.unshuffle))
        maps = self.trunk(last_axis_to_channels(views), code)
        result = [self._tail(maps, factor)]
        if self._back_projects(factor):
            result.append(self._tail(maps, self.scales_unit))
        return result

    @torch.jit.export
    def compose(self, image: Tensor, residuals: list[Tensor], factor: list[int]) -> tuple[Tensor, Tensor]:
        """The rest of `base_and_correction`, in float32: interpolation, lock and pass-through.

        Args:
            image: see `forward`.
            residuals: see `residuals`.
            factor: which head, by its scale.
        """
        centre = image[:, self.centre : self.centre + 1].float()
        rows, columns = image.shape[-2], image.shape[-1]
        padded = self._padded(centre)
        known = padded.clamp(self.hu_min, self.hu_max)
        base, correction, inside = self._head(residuals[0], known, padded, factor)
        if self._back_projects(factor):
            # Averaged back, the result must be that of scale 1: interpolation blurs thin bone by several HU otherwise.
            _, plain, _ = self._head(residuals[1], known, padded, self.scales_unit)
            base = base + self._interpolated(known - functional.avg_pool2d(base, factor), factor)
            correction = correction + self._interpolated(plain - functional.avg_pool2d(correction, factor), factor)
        base = torch.where(inside > 0, base, nearest_upsample(padded, factor))
        bottom, right = rows * factor[-2], columns * factor[-1]
        return base[..., :bottom, :right], (correction * inside)[..., :bottom, :right]

    def _back_projects(self, factor: list[int]) -> bool:
        return self.has_unit_head and self.spatial_dims == 2 and factor != self.scales_unit

    def _tail(self, maps: Tensor, factor: list[int]) -> Tensor:
        residual = maps
        found = False
        for i, tail in enumerate(self.tails):
            if self.scales[i] == factor:
                found = True
                step = [factor[k] * self.unshuffle[k] for k in range(len(factor))]
                residual = channels_to_space(tail(maps).float(), step) * self.residual_hu
        if not found:
            raise ValueError("no head of this network has that scale")
        return residual

    def _head(
        self, residual: Tensor, known: Tensor, padded: Tensor, factor: list[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Interpolated input, locked correction, and where the correction may act, of one output head."""
        base = self._interpolated(known, factor)
        outside = nearest_upsample(padded, factor)
        inside = ((outside >= self.hu_min) & (outside <= self.hu_max)).to(residual.dtype)
        return base, self.lock(residual, base + residual, inside, [2 * factor[-2], 2 * factor[-1]]), inside

    def _interpolated(self, x: Tensor, factor: list[int]) -> Tensor:
        """Cubic interpolation to the grid of a head."""
        result = x
        for i, upsample in enumerate(self.bases):
            if self.scales[i] == factor:
                result = upsample(x)
        return result

    def _views(self, bounded: Tensor) -> Tensor:
        """The image in [0, 1] and through each window, along the last axis; point by point, so in any arrangement."""
        views = [(bounded - self.hu_min) / (self.hu_max - self.hu_min)]
        for window in self.windows:
            views.append(torch.tanh((bounded - window[0]) * (2 / window[1])))
        return torch.cat(views, dim=-1)

    def _code(self, style: Tensor | None, batch: int) -> Tensor:
        if style is None:
            return self.style_bank[:1].expand(batch, -1)
        if style.dim() == 1:
            return self.style_bank[style]
        if style.dim() == 2:
            return style
        return self.style_encoder(style)

    def _padded(self, x: Tensor) -> Tensor:
        bottom = (self.multiple - x.shape[-2] % self.multiple) % self.multiple
        right = (self.multiple - x.shape[-1] % self.multiple) % self.multiple
        return functional.pad(x, [0, right, 0, bottom] + [0, 0] * self.leading, mode="replicate")
