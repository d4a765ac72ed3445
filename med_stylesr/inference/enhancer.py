"""`Enhancer`: a trained bundle applied to volumes and to streams of slices. The one public entry of inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.inference.ahead import ahead
from med_stylesr.inference.bundle import BUNDLE_2D, BUNDLE_3D, LoadedBundle, load_bundle
from med_stylesr.inference.choice import AUTO, choose_runtime
from med_stylesr.inference.ensemble import MirrorEnsemble, TrustLimits
from med_stylesr.inference.request import DEFAULT_STYLE, EnhanceOptions, Offer
from med_stylesr.inference.runtime import Runtime, pick_device
from med_stylesr.inference.slices import ArraySlices, InPlane, SliceSource, ThroughPlane
from med_stylesr.inference.strength import SMOOTH, StrengthPlan, plan_strength
from med_stylesr.metrics.bias import BIAS_LIMIT_HU, tissue_shift
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.volume import CTVolume

AS_IS: Final = "as-is"
"""Style that super-resolves and keeps the noise: for the second of two stages, the first has chosen the noise."""
SLAB: Final = 8
"""Slices read, run and handed on at once."""
SLABS_AHEAD: Final = 1
"""Slabs ready before they are asked for; a second one would take memory and no time off."""

Progress = Callable[[int, int], None]


class Enhancement:
    """One scan being enhanced: pull slabs from it, then ask it for the facts.

    Attributes:
        shape: slices, rows, columns of the result.
        plan: strength and what it is based on.
        spread_hu: uncertainty of the whole result, HU float32, once `Enhancer.enhance` is done and if it was asked for.
    """

    def __init__(
        self,
        source: SliceSource,
        stage: SliceSource,
        plan: StrengthPlan,
        options: EnhanceOptions,
        spacing_mm: tuple[float, float, float],
        models: Sequence[tuple[LoadedBundle, Runtime]],
    ) -> None:
        self.shape = stage.shape
        self.plan = plan
        self.spread_hu: NDArray[np.float32] | None = None
        self._source, self._stage, self._options = source, stage, options
        self._spacing_mm, self._models = spacing_mm, models
        self._checked: dict[int, NDArray[np.float32]] = {}
        self._shifts: tuple[int, dict[str, float]] = (0, {})
        self._to_check = set(spread_indices(source.shape[0], 12))

    def slabs(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first slice, HU float32 (n, rows, columns)) from the first to the last slice.

        The next slab is made meanwhile, unless `uncertainty` may be asked for that of the last one.
        """
        slabs = self._in_order()
        return slabs if isinstance(self._stage, MirrorEnsemble) else ahead(slabs, SLABS_AHEAD)

    def _in_order(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        step = SLAB * self._options.scale[0]
        for start in range(0, self.shape[0], step):
            hu = self._stage.read(start, min(start + step, self.shape[0]))
            self._remember(start, hu)
            yield start, hu

    def uncertainty(self, start: int) -> NDArray[np.float32]:
        """Spread in HU, float32, of the slab handed out last, which began with slice `start`.

        Raises:
            ValueError: if the options did not ask for it, or another slab was the last.
        """
        if not isinstance(self._stage, MirrorEnsemble):
            raise ValueError("the options asked for no uncertainty")
        return self._stage.uncertainty(start)

    def _remember(self, start: int, hu: NDArray[np.float32]) -> None:
        """Keep some slices, averaged back to the grid of the input, for the check of HU."""
        sz, sy, sx = self._options.scale
        for k in range(start // sz, (start + hu.shape[0]) // sz):
            if k in self._to_check:
                block = hu[k * sz - start : (k + 1) * sz - start]
                rows, columns = block.shape[1] // sy, block.shape[2] // sx
                self._checked[k] = block.reshape(sz, rows, sy, columns, sx).mean(axis=(0, 2, 4), dtype=np.float64)

    def tissue_shift_hu(self) -> dict[str, float]:
        """Shift of the mean HU of each tissue class, result minus input, over the slices handed out so far."""
        if not self._checked:
            return {}
        if self._shifts[0] == len(self._checked):
            return self._shifts[1]
        before = np.concatenate([self._source.read(k, k + 1) for k in self._checked])
        after = np.stack(list(self._checked.values()))
        shifts = tissue_shift(before, after, self._spacing_mm)
        told = {name: round(shift.shift_hu, 3) + 0.0 for name, shift in shifts.items()}
        self._shifts = (len(self._checked), told)
        return told

    def facts(self) -> dict[str, Any]:
        """JSON-able record of what was done, complete once all slabs have been pulled."""
        return {
            "scale": list(self._options.scale),
            "style": self._options.style,
            **self.plan.facts(),
            "tissue_shift_hu": self.tissue_shift_hu(),
            **({"uncertainty": self._stage.facts()} if isinstance(self._stage, MirrorEnsemble) else {}),
            "bundles": [
                {
                    "name": bundle.name,
                    "version": bundle.version,
                    "weights_sha256": bundle.weights_sha256,
                    "runtime": runtime.facts(),
                }
                for bundle, runtime in self._models
            ],
        }

    def warnings(self) -> list[str]:
        """What a reader of the result must know, complete once all slabs have been pulled."""
        moved = {n: s for n, s in self.tissue_shift_hu().items() if abs(s) >= BIAS_LIMIT_HU}
        told = [f"mean HU of {name} moved by {shift:+.2f} HU" for name, shift in moved.items()]
        notes = dict.fromkeys(note for _, runtime in self._models for note in runtime.notes)
        return [*self.plan.warnings, *told, *notes]


class Enhancer:
    """A bundle on a device, ready for any number of scans.

    Args:
        bundle: name or folder of a bundle; it stands in for the shipped one of the same number of spatial dimensions.
        device: "auto", "cpu", "cuda" or "cuda:N".
        runtime: see `choose_runtime`.
        precision: see `choose_runtime`.

    Raises:
        UsageError: if the bundle, the device or the runtime cannot be used.
    """

    def __init__(
        self, bundle: str | Path = BUNDLE_2D, device: str = "auto", runtime: str = AUTO, precision: str = AUTO
    ) -> None:
        self._device, self._runtime, self._precision = pick_device(device), runtime, precision
        self._names: dict[int, str | Path] = {2: BUNDLE_2D, 3: BUNDLE_3D}
        first = load_bundle(bundle, self._device)
        self._names[first.network.spatial_dims] = bundle
        self._loaded = {first.network.spatial_dims: (first, self._run_by(first))}

    @property
    def on_gpu(self) -> bool:
        """Whether the networks run on a GPU."""
        return self._device.type != "cpu"

    def bundle(self, spatial_dims: int) -> LoadedBundle:
        """The bundle for 2 (in plane) or 3 (through plane) dimensions, loaded on first use."""
        return self._ready(spatial_dims)[0]

    def _run_by(self, bundle: LoadedBundle) -> Runtime:
        return choose_runtime(bundle, self._device, self._runtime, self._precision)

    def runtime(self, spatial_dims: int) -> Runtime:
        """What runs the bundle for 2 or 3 dimensions."""
        return self._ready(spatial_dims)[1]

    def _ready(self, spatial_dims: int) -> tuple[LoadedBundle, Runtime]:
        if spatial_dims not in self._loaded:
            loaded = load_bundle(self._names[spatial_dims], self._device)
            self._loaded[spatial_dims] = (loaded, self._run_by(loaded))
        return self._loaded[spatial_dims]

    def check(self, options: EnhanceOptions) -> None:
        """Refuse options that no scan can be enhanced with.

        Raises:
            UsageError: for a style or scale that the bundles do not have, or strengths and doses out of range.
        """
        self.offer(through_plane=options.scale[0] > 1).check(options)

    def offer(self, through_plane: bool) -> Offer:
        """What the bundles can do.

        Args:
            through_plane: whether the bundle that adds slices is needed; it is loaded then.
        """
        bundles = [self.bundle(2), *([self.bundle(3)] if through_plane else [])]
        flat, deep = bundles[0].network, bundles[-1].network
        return Offer(
            styles=tuple(flat.style_names),
            in_plane=tuple(tuple(int(n) for n in scale) for scale in flat.scales),
            through_plane=tuple(tuple(int(n) for n in scale) for scale in deep.scales) if through_plane else (),
            weights_sha256=tuple(bundle.weights_sha256 for bundle in bundles),
        )

    def open(
        self,
        source: SliceSource,
        spacing_mm: tuple[float, float, float],
        options: EnhanceOptions,
        plan: StrengthPlan | None = None,
    ) -> Enhancement:
        """Plan the enhancement of a stream of slices; nothing but a few sample slices is computed yet.

        Args:
            source: the scan.
            spacing_mm: voxel spacing (slice, row, column).
            options: what to do.
            plan: decided before, on another frame of the same scan; None decides on this one.

        Raises:
            UsageError: see `check`.
            InputError: if slices are to be added to a single one.
        """
        self.check(options)
        if options.scale[0] > 1 and source.shape[0] < 2:
            raise InputError("one slice", "has no neighbour to add slices towards", "use --scale 1 Y X")
        in_plane = self.runtime(2)
        models = [self._ready(dims) for dims in ((2,) if options.scale[0] == 1 else (2, 3))]
        if plan is None and options.request.strength == 0 and options.scale == (1, 1, 1):
            plan = StrengthPlan(0.0, 0.0, None, None, options.request.dose_fraction, "given strength")
        elif plan is None:
            plan = plan_strength(source, in_plane, options.style, options.request, spacing_mm)

        def build(scan: SliceSource) -> SliceSource:
            return self._pipeline(scan, plan.strength, plan.towards_smooth, options)

        if not (options.uncertainty or options.safe):
            return Enhancement(source, build(source), plan, options, spacing_mm, models)
        (z, y, x), (sz, sy, sx) = spacing_mm, options.scale
        base = self._pipeline(source, 0.0, 0.0, options) if options.safe else None
        stage = MirrorEnsemble(
            source, build, (z / sz, y / sy, x / sx), base, TrustLimits.for_noise(plan.noise_before_hu)
        )
        return Enhancement(source, stage, plan, options, spacing_mm, models)

    def _pipeline(
        self, source: SliceSource, strength: float, towards_smooth: float, options: EnhanceOptions
    ) -> SliceSource:
        """What turns the slices of a scan into those of its result."""
        (_, in_plane), (sz, sy, sx) = self._ready(2), options.scale
        if strength == 0 and options.scale == (1, 1, 1):
            return source
        code = in_plane.style_code(options.style, SMOOTH, towards_smooth)
        if sz == 1:
            return InPlane(source, in_plane, code, strength, (sy, sx))
        through = self._ready(3)[1]
        plain = InPlane(source, in_plane, code, strength, (1, 1))
        code = through.style_code(options.style, SMOOTH, towards_smooth)
        stage: SliceSource = ThroughPlane(source, plain, through, code, strength, sz, SLAB)
        if (sy, sx) != (1, 1):
            # The first stage has chosen the noise; the second refines, unless nothing is to be changed at all.
            share = 1.0 if strength > 0 else 0.0
            stage = InPlane(stage, in_plane, in_plane.style_code(AS_IS, AS_IS, 0.0), share, (sy, sx))
        return stage

    def enhance(
        self, volume: CTVolume, options: EnhanceOptions, progress: Progress | None = None
    ) -> tuple[CTVolume, Enhancement]:
        """Enhance a volume in memory.

        Args:
            volume: the scan.
            options: what to do.
            progress: called with slices done and slices in all.

        Returns:
            The result, HU of the input's type, and the enhancement with its facts.

        Raises:
            UsageError: see `check`.
            InputError: if slices are to be added to a single one, or to a scan that is not evenly spaced.
        """
        if options.scale[0] > 1:
            require_even_slices(volume.evenly_spaced, "volume")
        enhancement = self.open(ArraySlices(volume.hu), volume.spacing_mm, options)
        result = np.empty(enhancement.shape, dtype=volume.hu.dtype)
        if options.uncertainty:
            enhancement.spread_hu = np.empty(enhancement.shape, dtype=np.float32)
        for start, hu in enhancement.slabs():
            result[start : start + len(hu)] = np.rint(hu) if result.dtype == np.int16 else hu
            if enhancement.spread_hu is not None:
                enhancement.spread_hu[start : start + len(hu)] = enhancement.uncertainty(start)
            if progress is not None:
                progress(start + len(hu), enhancement.shape[0])
        grid: VoxelGrid = volume.grid.super_resolved(options.scale)
        affine = None if options.scale == (1, 1, 1) else grid.affine
        return volume.with_hu(result, affine, enhanced=enhancement.facts()), enhancement


def require_even_slices(evenly_spaced: bool, name: str) -> None:
    """Refuse to add slices between slices that are not evenly spaced.

    Raises:
        InputError: if they are not.
    """
    if not evenly_spaced:
        raise InputError(name, "slices are not evenly spaced, so none can be added between them", "use --scale 1 Y X")


__all__ = ["DEFAULT_STYLE", "EnhanceOptions", "Enhancement", "Enhancer", "require_even_slices"]
