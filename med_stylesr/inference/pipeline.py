"""What turns the slices of a scan into those of its result: noise first, then kernel, through plane, in plane."""

from __future__ import annotations

from collections.abc import Callable

from med_stylesr.inference.enhancement import SLAB
from med_stylesr.inference.kernel_match import KernelMatched, Spectrum
from med_stylesr.inference.request import REFERENCE_STYLE, EnhanceOptions
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import DecodedSlices, InPlane, SliceSource, ThroughPlane
from med_stylesr.inference.strength import AS_IS, StrengthPlan, remover


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
    if sz == 1 and unit:
        return corrected(source)
    # Automatic strength is about noise and must not take away the detail that super-resolution adds.
    sparing = options.request.strength is None and strength < 1
    if sz == 1:
        if sparing and AS_IS in in_plane.network.style_names:
            return InPlane(source, in_plane, in_plane.style_code(AS_IS, style, strength), 1.0, finer)
        return InPlane(source, in_plane, in_plane.style_code(style), strength, finer)
    through = through_plane()
    known = through.network.style_names
    sparing = sparing and AS_IS in known
    # What a kernel looks like is a matter of the plane: the other bundle only adds slices.
    deep = style if style in known else remover(known)
    code = through.style_code(AS_IS, deep, strength) if sparing else through.style_code(deep)
    thin = ThroughPlane(source, corrected(source), through, code, 1.0 if sparing else strength, sz, SLAB)
    if unit:
        return thin
    # The first stage has chosen the noise; the second refines, unless nothing is to be changed at all.
    return InPlane(thin, in_plane, in_plane.style_code(AS_IS), 1.0 if strength > 0 or sparing else 0.0, finer)


def _kept(stage: SliceSource) -> SliceSource:
    """A stage whose slices are kept a while, since the next one looks at neighbours as well."""
    return DecodedSlices(stage.shape, stage.read, SLAB)
