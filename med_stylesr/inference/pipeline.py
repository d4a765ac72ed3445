"""What turns the slices of a scan into those of its result: noise first, then kernel, through plane, in plane."""

from __future__ import annotations

from collections.abc import Callable

from med_stylesr.inference.enhancement import SLAB
from med_stylesr.inference.kernel_match import KernelMatched, Spectrum
from med_stylesr.inference.request import REFERENCE_STYLE, EnhanceOptions
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import DecodedSlices, InPlane, SliceSource, ThroughPlane
from med_stylesr.inference.strength import AS_IS, StrengthPlan, remover, sets_kernel
from med_stylesr.inference.tiling import slab_slices


def pipeline(
    source: SliceSource,
    spacing_mm: tuple[float, float, float],
    plan: StrengthPlan,
    options: EnhanceOptions,
    in_plane: Runtime,
    through_plane: Callable[[], Runtime],
    reference: Spectrum | None = None,
) -> SliceSource:
    """Join the stages that the options ask for.

    Args:
        source: the scan.
        spacing_mm: its voxel spacing (slice, row, column).
        plan: how much of which correction to apply.
        options: scale, and whether the strength was given.
        in_plane: runs the 2D network.
        through_plane: gives what runs the 3D network; asked for only if slices are to be added.
        reference: spectrum of the scan that `REFERENCE_STYLE` is the style of.
    """
    sz, finer = options.scale[0], list(options.scale[1:])
    unit = finer == [1, 1]
    style, strength = plan.correction, plan.strength

    def corrected(scan: SliceSource) -> SliceSource:
        return InPlane(scan, in_plane, in_plane.style_code(style), strength, (1, 1)) if strength > 0 else scan

    if plan.finish is not None:
        source, style, strength = _kept(corrected(source)), plan.finish, 1.0
    if style == REFERENCE_STYLE and reference is not None and strength > 0:
        # The filter is exact where kernels are all that differs; the network then sees to the texture.
        source = _kept(KernelMatched(source, reference, spacing_mm, strength))
    plain = corrected(source)
    if sz == 1 and unit:
        return plain
    # A part of a correction is a part of the detail that it adds, too: good if asked for, else noise is set before. And
    # kernels were learned at the scan's own scale.
    whole = strength == 1 or options.request.strength is not None
    apart = AS_IS in in_plane.network.style_names and (sets_kernel(style) or not whole)
    if apart:
        plain = _kept(plain)
        source, style, strength = plain, AS_IS, 1.0 if options.request.strength is None else strength
    if sz == 1:
        return InPlane(source, in_plane, in_plane.style_code(style), strength, finer)
    through = through_plane()
    known = through.network.style_names
    code = through.style_code(style if style in known else remover(known))
    slab = slab_slices(*source.shape[1:], ThroughPlane.halo(through))
    thin = ThroughPlane(source, plain, through, code, strength, sz, slab)
    if unit:
        return thin
    # The first stage has chosen the noise; the second refines, unless nothing is to be changed at all.
    return InPlane(thin, in_plane, in_plane.style_code(AS_IS), 1.0 if strength > 0 else 0.0, finer)


def _kept(stage: SliceSource) -> SliceSource:
    """A stage whose slices are kept a while, since the next one looks at neighbours as well."""
    return DecodedSlices(stage.shape, stage.read, SLAB, stage.reach, stage.per_slice)
