"""One scan from its source to its place in DEST: read, enhance, write whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from med_stylesr import __version__
from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.inference.enhancer import Enhancement, EnhanceOptions, Enhancer, require_even_slices
from med_stylesr.inference.slices import ArraySlices, DecodedSlices, SliceSource
from med_stylesr.io.derivation import SMOOTHING, SPATIAL_RESAMPLING, Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.dicom_read import read_slices, read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.names import safe_component
from med_stylesr.io.publish import staged_file, staged_folder
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile
from med_stylesr.io.volume_file import read_volume_file, volume_ending, write_volume_file
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.report_sample import ReportSample
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.volume import CTVolume

SERIES_NUMBER_OFFSET: Final = 9000
"""Added to SeriesNumber: derived series sort behind the originals of a study."""
_ENDINGS: Final = {"nifti": ".nii.gz", "nrrd": ".nrrd"}
_CONTEXT: Final = 16
"""Decoded slices kept behind: the halo of a slab is read again for the next one."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What a finished job left behind.

    Attributes:
        outputs: paths relative to DEST; a series is told by its folder.
        facts: what was done.
        warnings: what the reader must know.
        quoting: more of it, which may quote headers and names of the source.
    """

    outputs: list[str]
    facts: dict[str, Any]
    warnings: list[str]
    quoting: list[str]


@dataclass(frozen=True)
class Bench:
    """What jobs work with.

    Attributes:
        dest: output folder.
        settings: what to do.
        enhancer: the bundles, loaded.
        privacy: what may be told of the sources.
    """

    dest: Path
    settings: EnhanceSettings
    enhancer: Enhancer
    privacy: Privacy


def enhance_series(series: DicomSeries, bench: Bench, progress: Progress) -> Outcome:
    """Enhance a CT series into a derived DICOM series, or a volume file if the settings say so.

    Raises:
        InputError: if the series cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    settings, privacy = bench.settings, bench.privacy
    options = options_for(settings, series.grid.spacing_mm)
    patient = bench.dest / privacy.patient_folder(series)
    if settings.format in _ENDINGS:
        if privacy.on:
            why = "pixels are searched for burned-in text in DICOM only"
            raise InputError(series.name, why, "use --format dicom, or `med-stylesr deidentify` first")
        if series.slice_origins_mm is not None:
            why = "slices are not evenly spaced, which no volume file can say"
            raise InputError(series.name, why, "use --format dicom")
        stem = safe_component(privacy.file_stem(f"{series.uid} {series.part}".strip()), "series")
        path = patient / (stem + _ENDINGS[settings.format])
        _require_free(path, settings.overwrite)
        outcome = _enhance_volume(read_volume(series), path, options, bench, progress)
        return replace(outcome, quoting=[*series.warnings, *outcome.quoting])
    if options.scale[0] > 1:
        require_even_slices(series.slice_origins_mm is None, series.name)
    grid, origins = output_places(series, options.scale)
    source = DecodedSlices(series.grid.shape, lambda start, stop: read_slices(series, start, stop), _CONTEXT)
    enhancement = bench.enhancer.open(source, series.grid.spacing_mm, options)
    derivation = derivation_of(enhancement, options, bench.enhancer)
    final = patient / privacy.uid(str(DerivedHeader(series, grid, derivation, origins).series_uid))
    page = final.with_name(f"{final.name}.html")
    sample = ReportSample(series.grid, options.scale)
    with staged_folder(final, settings.overwrite) as folder:
        _require_free(page, settings.overwrite)
        writer = DerivedSeriesWriter(
            series, grid, derivation, folder, slice_origins_mm=origins, transform_dataset=privacy.transform
        )
        for start, hu in enhancement.slabs():
            for offset, plane in enumerate(hu):
                writer.write(start + offset, plane)
            sample.remember(start, hu)
            progress(start + len(hu), grid.shape[0])
        facts = _facts(enhancement, grid)
        # Before the series appears, so that an interruption leaves both or neither.
        hindered = write_report(page, sample, source, facts) if settings.report else []
    outputs = [str(place.relative_to(bench.dest)) for place in (final, page) if place.exists()]
    return Outcome(outputs, facts, enhancement.warnings(), [*series.warnings, *writer.warnings, *hindered])


def enhance_file(file: VolumeFile, bench: Bench, progress: Progress) -> Outcome:
    """Enhance a NIfTI, NRRD or MetaImage volume into a file of the same format at the same place below DEST.

    Raises:
        InputError: if the file cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    settings = bench.settings
    if settings.format == "dicom":
        raise UsageError(
            str(file.path), "a volume file has no headers to make a DICOM series of", "use --format auto, nifti or nrrd"
        )
    path = volume_place(file, bench)
    _require_free(path, settings.overwrite)
    volume = read_volume_file(file.path)
    return _enhance_volume(volume, path, options_for(settings, volume.spacing_mm), bench, progress)


def volume_place(file: VolumeFile, bench: Bench) -> Path:
    """Where the result of a volume file goes: the same place below DEST, under a name that tells nothing if so asked.

    Detached headers (.mhd, .nhdr) become one-file volumes of their format.
    """
    ending = volume_ending(file.relative)
    wanted = _ENDINGS.get(bench.settings.format, {".mhd": ".mha", ".nhdr": ".nrrd"}.get(ending, ending))
    if bench.privacy.on:
        return bench.dest / (bench.privacy.file_stem(str(file.relative)) + wanted)
    return bench.dest / file.relative.with_name(file.relative.name[: -len(ending)] + wanted)


def _require_free(path: Path, overwrite: bool) -> None:
    if not overwrite and (path.exists() or path.is_symlink()):
        raise UsageError(str(path), "exists already", "use --overwrite, or another DEST")


def _enhance_volume(volume: CTVolume, path: Path, options: EnhanceOptions, bench: Bench, progress: Progress) -> Outcome:
    """Enhance a volume in memory into one file, with its report beside it."""
    page = path.with_name(f"{path.name}.html")
    _require_free(page, bench.settings.overwrite)
    result, enhancement = bench.enhancer.enhance(volume, options, progress)
    facts = _facts(enhancement, result.grid)
    hindered = []
    with staged_file(path, bench.settings.overwrite) as partial:
        write_volume_file(result, partial, overwrite=True)
        if bench.settings.report:
            sample = ReportSample(volume.grid, options.scale)
            sample.remember(0, result.hu)
            hindered = write_report(page, sample, ArraySlices(volume.hu), facts)
    outputs = [str(place.relative_to(bench.dest)) for place in (path, page) if place.exists()]
    told = volume.provenance.get("warnings", ())
    return Outcome(outputs, facts, enhancement.warnings(), [*told, *hindered])


def _facts(enhancement: Enhancement, grid: VoxelGrid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm], **enhancement.facts()}


def write_report(page: Path, sample: ReportSample, source: SliceSource, facts: dict[str, Any]) -> list[str]:
    """Write the HTML report of a scan; what hinders it is a warning, since the scan itself is done."""
    try:
        from med_stylesr.report.enhance_report import write_enhance_report

        before, after = sample.volumes(source)
        with staged_file(page, overwrite=True) as partial:
            write_enhance_report(partial, before, after, facts)
    except ImportError as error:
        return [f"no report was written ({error.name} is not installed: pip install 'med-stylesr[report]')"]
    except MedStyleError as error:
        return [f"no report was written: {error}"]
    except Exception as error:
        return [f"no report was written ({type(error).__name__}: {error})"]
    return []


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
        summary="Normal-dose style from low-dose CT by a neural network (research use only)",
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


def options_for(settings: EnhanceSettings, spacing_mm: tuple[float, float, float]) -> EnhanceOptions:
    """The options, with the whole factors that come nearest to a target spacing if one was asked for.

    Raises:
        InputError: if the scan is finer than that.
    """
    if settings.spacing_mm is None:
        return settings.options
    factors = [max(1, int(np.rint(have / want))) for have, want in zip(spacing_mm, settings.spacing_mm, strict=True)]
    if any(want > 1.5 * have for have, want in zip(spacing_mm, settings.spacing_mm, strict=True)):
        asked, told = (" x ".join(f"{mm:.3g}" for mm in spacing) for spacing in (settings.spacing_mm, spacing_mm))
        raise InputError(f"--spacing of {asked} mm", f"is coarser than the scan ({told} mm)", "use a finer one")
    return replace(settings.options, scale=(factors[0], factors[1], factors[2]))
