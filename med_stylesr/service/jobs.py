"""One scan from its source to its place in DEST: read, enhance, write whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from med_stylesr import __version__
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.enhancer import Enhancement, EnhanceOptions, Enhancer, require_even_slices
from med_stylesr.inference.slices import DecodedSlices
from med_stylesr.io.derivation import SMOOTHING, SPATIAL_RESAMPLING, Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.dicom_read import read_slices, read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.names import safe_component
from med_stylesr.io.publish import staged_folder
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile
from med_stylesr.io.volume_file import read_volume_file, volume_ending, write_volume_file
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.volume import CTVolume

SERIES_NUMBER_OFFSET: Final = 9000
"""Added to SeriesNumber: derived series sort behind the originals of a study."""
_ENDINGS: Final = {"nifti": ".nii.gz", "nrrd": ".nrrd"}
_CONTEXT: Final = 4

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What a finished job left behind.

    Attributes:
        outputs: paths relative to DEST.
        facts: what was done.
        warnings: what the reader must know.
    """

    outputs: list[str]
    facts: dict[str, Any]
    warnings: list[str]


def enhance_series(
    series: DicomSeries, dest: Path, settings: EnhanceSettings, enhancer: Enhancer, progress: Progress
) -> Outcome:
    """Enhance a CT series into a derived DICOM series, or a volume file if the settings say so.

    Raises:
        InputError: if the series cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    options = _with_spacing(settings, series.grid.spacing_mm)
    patient = safe_component(series.patient_id, "unknown-patient")
    if settings.format in _ENDINGS:
        name = safe_component(f"{series.uid} {series.part}".strip(), "series") + _ENDINGS[settings.format]
        volume, facts, warnings = _enhanced(read_volume(series), options, enhancer, progress)
        path = dest / patient / name
        write_volume_file(volume, path, settings.overwrite)
        return Outcome([str(path.relative_to(dest))], facts, [*series.warnings, *warnings])
    if options.scale[0] > 1:
        require_even_slices(series.slice_origins_mm is None, series.name)
    grid, origins = output_places(series, options.scale)
    source = DecodedSlices(series.grid.shape, lambda start, stop: read_slices(series, start, stop), _CONTEXT)
    enhancement = enhancer.open(source, series.grid.spacing_mm, options)
    derivation = derivation_of(enhancement, options, enhancer)
    final = dest / patient / str(DerivedHeader(series, grid, derivation, origins).series_uid)
    with staged_folder(final, settings.overwrite) as folder:
        writer = DerivedSeriesWriter(series, grid, derivation, folder, slice_origins_mm=origins)
        for start, hu in enhancement.slabs():
            for offset, plane in enumerate(hu):
                writer.write(start + offset, plane)
            progress(start + len(hu), grid.shape[0])
    outputs = [str(final.relative_to(dest) / path.name) for path in writer.files]
    warnings = [*series.warnings, *writer.warnings, *enhancement.warnings()]
    return Outcome(outputs, enhancement.facts(), warnings)


def enhance_file(
    file: VolumeFile, dest: Path, settings: EnhanceSettings, enhancer: Enhancer, progress: Progress
) -> Outcome:
    """Enhance a NIfTI, NRRD or MetaImage volume into a file of the same format at the same place below DEST.

    Raises:
        InputError: if the file cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    if settings.format == "dicom":
        raise UsageError(
            str(file.path), "a volume file has no headers to make a DICOM series of", "use --format auto, nifti or nrrd"
        )
    volume = read_volume_file(file.path)
    options = _with_spacing(settings, volume.spacing_mm)
    result, facts, warnings = _enhanced(volume, options, enhancer, progress)
    relative = file.relative
    ending = volume_ending(relative)
    wanted = _ENDINGS.get(settings.format, {".mhd": ".mha", ".nhdr": ".nrrd"}.get(ending, ending))
    path = dest / relative.with_name(relative.name[: len(relative.name) - len(ending)] + wanted)
    write_volume_file(result, path, settings.overwrite)
    return Outcome([str(path.relative_to(dest))], facts, warnings)


def _enhanced(
    volume: CTVolume, options: EnhanceOptions, enhancer: Enhancer, progress: Progress
) -> tuple[CTVolume, dict[str, Any], list[str]]:
    result, enhancement = enhancer.enhance(volume, options, progress)
    return result, enhancement.facts(), enhancement.warnings()


def derivation_of(enhancement: Enhancement, options: EnhanceOptions, enhancer: Enhancer) -> Derivation:
    """What the derived series says of its making."""
    facts = enhancement.facts()
    models = {
        f"model{i or ''}": f"{b['name']} {b['version']} sha256 {b['weights_sha256']}"
        for i, b in enumerate(facts["bundles"])
    }
    scaled = options.scale != (1, 1, 1)
    through = options.scale[0] > 1
    return Derivation(
        summary="Normal-dose style from low-dose CT by a neural network, research use only",
        tool="med-stylesr",
        tool_version=__version__,
        codes=(SMOOTHING, SPATIAL_RESAMPLING) if scaled else (SMOOTHING,),
        created=datetime.now().astimezone(),
        series_suffix="med-stylesr x" + "x".join(map(str, options.scale)) if scaled else "med-stylesr",
        series_number_offset=SERIES_NUMBER_OFFSET,
        source_radius=enhancer.bundle(3 if through else 2).network.depth_reach,
        parameters={
            **models,
            "style": options.style,
            "strength": facts["strength"],
            "towards smooth": facts["towards_smooth"],
            "scale": list(options.scale),
        },
    )


def _with_spacing(settings: EnhanceSettings, spacing_mm: tuple[float, float, float]) -> EnhanceOptions:
    """The options, with the whole factors that come nearest to a target spacing if one was asked for."""
    if settings.spacing_mm is None:
        return settings.options
    factors = [max(1, int(np.rint(have / want))) for have, want in zip(spacing_mm, settings.spacing_mm, strict=True)]
    if any(want > 1.5 * have for have, want in zip(spacing_mm, settings.spacing_mm, strict=True)):
        told = " x ".join(f"{mm:.3g}" for mm in spacing_mm)
        raise InputError(f"--spacing {settings.spacing_mm}", f"is coarser than the scan ({told} mm)", "use a finer one")
    return replace(settings.options, scale=(factors[0], factors[1], factors[2]))
