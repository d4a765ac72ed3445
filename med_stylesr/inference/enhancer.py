"""`Enhancer`: a trained bundle applied to volumes and to streams of slices. The one public entry of inference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.inference.bundle import LoadedBundle, load_bundle
from med_stylesr.inference.bundle_folder import BUNDLE_2D, BUNDLE_3D
from med_stylesr.inference.choice import AUTO, choose_runtime
from med_stylesr.inference.enhancement import Enhancement
from med_stylesr.inference.ensemble import MirrorEnsemble, TrustLimits
from med_stylesr.inference.kernel_match import SAMPLE_SLICES, Spectrum, radial_spectrum
from med_stylesr.inference.normal_dose import Acquisition, DoseEstimate, NormalDoseNoise
from med_stylesr.inference.pipeline import pipeline
from med_stylesr.inference.reference import reference_code
from med_stylesr.inference.request import DEFAULT_STYLE, REFERENCE_STYLE, EnhanceOptions, Offer
from med_stylesr.inference.runtime import Runtime, pick_device
from med_stylesr.inference.slices import ArraySlices, SliceSource
from med_stylesr.inference.strength import StrengthPlan, plan_strength
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.volume import CTVolume

NOTHING: Final = StrengthPlan(0.0, DEFAULT_STYLE, None, None, None, None, "given strength")
"""All noise is kept."""

Progress = Callable[[int, int], None]


class Enhancer:
    """A bundle on a device, ready for any number of scans.

    Args:
        bundle: name or folder of a bundle; it stands in for the shipped one of the same number of spatial dimensions.
        device: "auto", "cpu", "cuda" or "cuda:N".
        runtime: see `choose_runtime`.
        precision: see `choose_runtime`.
        reference: normal-dose scan whose kernel and texture are offered as `REFERENCE_STYLE`.

    Raises:
        UsageError: if the bundle, the device or the runtime cannot be used, or the bundle takes no style from a scan.
        InputError: if the reference shows no body.
    """

    def __init__(
        self,
        bundle: str | Path = BUNDLE_2D,
        device: str = "auto",
        runtime: str = AUTO,
        precision: str = AUTO,
        reference: CTVolume | None = None,
    ) -> None:
        self._device, self._runtime, self._precision = pick_device(device), runtime, precision
        self._names: dict[int, str | Path] = {2: BUNDLE_2D, 3: BUNDLE_3D}
        first = load_bundle(bundle, self._device)
        self._names[first.network.spatial_dims] = bundle
        self._reference: Spectrum | None = None
        self._reference_sha256: tuple[str, ...] = ()
        self._loaded = {first.network.spatial_dims: (first, self._run_by(first))}
        if reference is not None:
            self._take_style(reference)

    @property
    def on_gpu(self) -> bool:
        """Whether the networks run on a GPU."""
        return self._device.type != "cpu"

    def bundle(self, spatial_dims: int) -> LoadedBundle:
        """The bundle for 2 (in plane) or 3 (through plane) dimensions, loaded on first use."""
        return self._ready(spatial_dims)[0]

    def _take_style(self, reference: CTVolume) -> None:
        flat, runtime = self._ready(2)
        if not flat.style_reference:
            why = "was not trained to take its style from a scan"
            raise UsageError(f"bundle {flat.name}", why, f"use a style: {', '.join(flat.network.style_names)}")
        code = reference_code(flat.network, reference.hu)
        runtime.learn_style(REFERENCE_STYLE, code)
        sample = [reference.hu[k] for k in spread_indices(reference.hu.shape[0], SAMPLE_SLICES)]
        self._reference = radial_spectrum(sample, reference.spacing_mm)
        told = code.cpu().numpy().tobytes() + self._reference.power.tobytes()
        self._reference_sha256 = (hashlib.sha256(told).hexdigest(),)

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
            styles=(*flat.style_names, *([REFERENCE_STYLE] if self._reference_sha256 else [])),
            in_plane=tuple(tuple(int(n) for n in scale) for scale in flat.scales),
            through_plane=tuple(tuple(int(n) for n in scale) for scale in deep.scales) if through_plane else (),
            weights_sha256=(*(bundle.weights_sha256 for bundle in bundles), *self._reference_sha256),
            table_sha256=bundles[0].normal_dose.digest() if bundles[0].normal_dose else "",
        )

    def open(
        self,
        source: SliceSource,
        spacing_mm: tuple[float, float, float],
        options: EnhanceOptions,
        plan: StrengthPlan | None = None,
        acquisition: Acquisition | None = None,
    ) -> Enhancement:
        """Plan the enhancement of a stream of slices; nothing but a few sample slices is computed yet.

        Args:
            source: the scan.
            spacing_mm: voxel spacing (slice, row, column).
            options: what to do.
            plan: decided before, on another frame of the same scan; None decides on this one.
            acquisition: what headers tell of the scan, from which its dose is estimated; None where there are none.

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
            plan = replace(NOTHING, correction=options.style, dose_fraction=options.request.dose_fraction)
        elif plan is None:
            table = self.bundle(2).normal_dose
            estimate = None if table is None else partial(_estimated, table, acquisition)
            plan = plan_strength(source, in_plane, options.style, options.request, spacing_mm, estimate)

        def build(scan: SliceSource) -> SliceSource:
            return self._pipeline(scan, spacing_mm, plan, options)

        if not (options.uncertainty or options.safe):
            return Enhancement(source, build(source), plan, options, spacing_mm, models)
        (z, y, x), (sz, sy, sx) = spacing_mm, options.scale
        base = self._pipeline(source, spacing_mm, NOTHING, options) if options.safe else None
        stage = MirrorEnsemble(
            source, build, (z / sz, y / sy, x / sx), base, TrustLimits.for_noise(plan.noise_before_hu)
        )
        return Enhancement(source, stage, plan, options, spacing_mm, models)

    def _pipeline(
        self,
        source: SliceSource,
        spacing_mm: tuple[float, float, float],
        plan: StrengthPlan,
        options: EnhanceOptions,
    ) -> SliceSource:
        wanted = self._reference
        return pipeline(source, spacing_mm, plan, options, self.runtime(2), lambda: self.runtime(3), wanted)

    def enhance(
        self,
        volume: CTVolume,
        options: EnhanceOptions,
        progress: Progress | None = None,
        acquisition: Acquisition | None = None,
    ) -> tuple[CTVolume, Enhancement]:
        """Enhance a volume in memory.

        Args:
            volume: the scan.
            options: what to do.
            progress: called with slices done and slices in all.
            acquisition: see `open`.

        Returns:
            The result, HU of the input's type, and the enhancement with its facts.

        Raises:
            UsageError: see `check`.
            InputError: if slices are to be added to a single one, or to a scan that is not evenly spaced.
        """
        if options.scale[0] > 1:
            require_even_slices(volume.evenly_spaced, "volume")
        enhancement = self.open(ArraySlices(volume.hu), volume.spacing_mm, options, acquisition=acquisition)
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


def _estimated(
    table: NormalDoseNoise, acquisition: Acquisition | None, noise_hu: float, slices: NDArray[Any]
) -> DoseEstimate:
    return table.estimate(noise_hu, acquisition, slices)


def require_even_slices(evenly_spaced: bool, name: str) -> None:
    """Refuse to add slices between slices that are not evenly spaced.

    Raises:
        InputError: if they are not.
    """
    if not evenly_spaced:
        raise InputError(name, "slices are not evenly spaced, so none can be added between them", "use --scale 1 Y X")


__all__ = ["DEFAULT_STYLE", "EnhanceOptions", "Enhancement", "Enhancer", "require_even_slices"]
