"""Scans with a time axis (cine, perfusion): frames in order, under one strength, with their flicker measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.request import EnhanceOptions
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.inference.strength import StrengthPlan
from med_stylesr.io.nifti_frames import NiftiFrames, frames_file
from med_stylesr.io.publish import staged_file
from med_stylesr.io.source import VolumeFile
from med_stylesr.io.volume_file import volume_ending
from med_stylesr.service.batch import refuse_mixture
from med_stylesr.service.flicker import Flicker, averaged
from med_stylesr.service.manifest import DONE, FAILED, Entry
from med_stylesr.service.plan import identity_of
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream_dicom import stream_series
from med_stylesr.service.stream_record import record_of
from med_stylesr.service.workers import load_enhancer

Hu = NDArray[Any]


def stream(
    source: Path, dest: Path, settings: EnhanceSettings, tell: Callable[[str], None], *, resume: bool = False
) -> int:
    """Enhance what changes with time in SOURCE, frame by frame: a NIfTI file, or DICOM series with temporal positions.

    Args:
        source: NIfTI file; or DICOM folder, file, archive or DICOMDIR.
        dest: folder for the results and their manifest.
        settings: what to do; report, uncertainty and de-identification are not offered here.
        tell: told a line after every frame, and one about flicker in the end.
        resume: skip what an earlier run with the same settings has done.

    Returns:
        Exit status: 1 if something failed that the rest could do without.

    Raises:
        UsageError: if nothing in SOURCE has a time axis, or a setting does not fit.
        InputError: if a file cannot be read or the result not be written.
    """
    options, ending = settings.options, volume_ending(source)
    if options.uncertainty or options.safe or settings.deidentify or settings.spacing_mm:
        why = "takes neither --uncertainty nor --safe, --spacing or --deidentify"
        raise UsageError("--stream", why, "leave them out")
    refuse_mixture(dest, settings)
    if ending in (".nii", ".nii.gz"):
        stream_file(source, dest, settings, tell, resume=resume)
        return 0
    if ending:
        raise UsageError(str(source), f"a {ending} file has no time axis", "leave --stream out")
    return stream_series(source, dest, settings, tell, resume=resume)


def stream_file(
    source: Path, dest: Path, settings: EnhanceSettings, tell: Callable[[str], None], *, resume: bool = False
) -> dict[str, Any]:
    """Enhance a NIfTI file with a time axis into DEST, frame by frame.

    The strength is decided on the first frame and kept, so that no frame is smoothed more than the next.

    Args:
        source: the file.
        dest: folder for the result and its manifest.
        settings: what to do; report, uncertainty and de-identification are not offered here.
        tell: told a line after every frame.
        resume: see `stream`.

    Returns:
        The facts of the manifest's entry.

    Raises:
        UsageError: if the output exists, or an option does not fit.
        InputError: if a frame cannot be read or the result not be written.
    """
    frames = NiftiFrames(source)
    enhancer = load_enhancer(settings)
    enhancer.check(settings.options)
    item = VolumeFile(source, Path(source.name))
    with record_of(dest, source, settings) as record:
        entry = record.entry(
            "volume", source.name, identity_of(item)[1], enhancer.offer(settings.through_plane).digests
        )
        done = record.done(entry) if resume else None
        if done is not None:
            tell(f"{source.name}: done by an earlier run")
            return done.facts
        try:
            entry = _streamed(source, dest / source.name, frames, enhancer, settings, tell, entry)
        except MedStyleError as error:
            # On a full disk the record fails too; the reason is what matters.
            with suppress(InputError):
                record.manifest.put(replace(entry, status=FAILED, reason=str(error)))
                record.manifest.save()
            raise
        record.manifest.set(entry)
        record.manifest.save()
    return entry.facts


def _streamed(
    source: Path,
    path: Path,
    frames: NiftiFrames,
    enhancer: Enhancer,
    settings: EnhanceSettings,
    tell: Callable[[str], None],
    entry: Entry,
) -> Entry:
    """All frames into `path`; the entry with what was done."""
    options = settings.options
    began, flicker, plan, slices = time.monotonic(), Flicker(), None, 0
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    with staged_file(path, settings.overwrite) as partial:
        first = frames.frame(0)
        grid = first.grid.super_resolved(options.scale)
        # The temporary name need not end like the final one.
        named = partial.with_name(partial.name + volume_ending(source))
        try:
            with frames_file(named, grid, frames.count, frames.seconds, frames.forms) as append:
                for t in range(frames.count):
                    volume = first if t == 0 else frames.frame(t)
                    hu, plan, told, warned = _enhanced(volume.hu, volume.spacing_mm, enhancer, options, plan)
                    facts, warnings = (told, warned) if t == 0 else (facts, warnings)
                    append(hu)
                    flicker.add(volume.hu.astype(np.float32), averaged(hu, options.scale))
                    slices += len(hu)
                    rate = slices / (time.monotonic() - began)
                    tell(f"frame {t + 1}/{frames.count}: {rate:.1f} slices/s")
            named.replace(partial)
        finally:
            named.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    facts = {
        "shape": [int(n) for n in grid.shape],
        "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm],
        **facts,
        "frames": frames.count,
        "slices_per_second": round(slices / seconds, 2),
        "flicker": flicker.facts(),
    }
    tell(flicker.told())
    return replace(
        entry,
        status=DONE,
        outputs=[path.name],
        facts=facts,
        warnings=[*frames.warnings, *warnings],
        seconds=round(seconds, 2),
    )


def _enhanced(
    hu: Hu,
    spacing_mm: tuple[float, float, float],
    enhancer: Enhancer,
    options: EnhanceOptions,
    plan: StrengthPlan | None,
) -> tuple[Hu, StrengthPlan, dict[str, Any], list[str]]:
    enhancement = enhancer.open(ArraySlices(hu), spacing_mm, options, plan)
    result = np.concatenate([slab for _, slab in enhancement.slabs()])
    return result, enhancement.plan, enhancement.facts(), enhancement.warnings()
