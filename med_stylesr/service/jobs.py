"""One scan from its source to its place in DEST: read, enhance, write whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.inference.enhancer import Enhancement, Enhancer, require_even_slices
from med_stylesr.inference.normal_dose import Acquisition
from med_stylesr.inference.request import EnhanceOptions
from med_stylesr.inference.slices import ArraySlices, DecodedSlices, SliceSource
from med_stylesr.inference.strength import StrengthPlan
from med_stylesr.io.derivation import Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.dicom_read import read_slices, read_volume
from med_stylesr.io.dicom_write import TRANSFER_SYNTAXES, DerivedSeriesWriter, output_places
from med_stylesr.io.enhanced_write import EnhancedImageWriter, enhanced_series_uid
from med_stylesr.io.names import safe_component
from med_stylesr.io.publish import Staging
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.service.acquisition import acquisition_of
from med_stylesr.service.making import derivation_of
from med_stylesr.service.own_work import own_work_warnings
from med_stylesr.service.plan import VOLUME_ENDINGS, volume_place
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.report_sample import ReportSample
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.uncertainty_output import (
    Transform,
    described_steps,
    stored_steps,
    uncertainty_derivation,
    uncertainty_file,
)
from med_stylesr.volume import CTVolume

_CONTEXT: Final = 16
"""Decoded slices kept behind: the halo of a slab is read again for the next one."""

Progress = Callable[[int, int], None]
SeriesWriter = DerivedSeriesWriter | EnhancedImageWriter


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


@dataclass(frozen=True)
class Journal:
    """How a result is announced before it appears, so that a killed run loses and repeats nothing.

    Attributes:
        record: see `Staging.publish`.
        created: what the dates and times of creation in the output tell.
        told: what the record says of an outcome.
    """

    record: Path
    created: datetime
    told: Callable[[Outcome], Mapping[str, Any]]


def enhance_series(
    series: DicomSeries,
    bench: Bench,
    progress: Progress,
    journal: Journal | None = None,
    *,
    plan: StrengthPlan | None = None,
    watch: Callable[[int, NDArray[np.float32]], None] | None = None,
) -> Outcome:
    """Enhance a CT series into a derived DICOM series, or a volume file if the settings say so.

    Args:
        series: the series.
        bench: what to work with.
        progress: called with slices done and slices in all.
        journal: where the result is announced; None announces it nowhere and dates it now.
        plan: strength decided on another phase of the series; None decides on this one.
        watch: shown every slab of the result: its first slice, and HU.

    Raises:
        InputError: if the series cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    settings, privacy = bench.settings, bench.privacy
    options = settings.options_for(series.grid.spacing_mm)
    patient = bench.dest / privacy.patient_folder(series)
    if settings.format in VOLUME_ENDINGS:
        if privacy.on:
            why = "pixels are searched for burned-in text in DICOM only"
            raise InputError(series.name, why, "use --format dicom, or `med-stylesr deidentify` first")
        if series.slice_origins_mm is not None:
            why = "slices are not evenly spaced, which no volume file can say"
            raise InputError(series.name, why, "use --format dicom")
        stem = safe_component(privacy.file_stem(f"{series.uid} {series.part}".strip()), "series")
        path = patient / (stem + VOLUME_ENDINGS[settings.format])
        return _enhance_volume(read_volume(series), path, options, bench, progress, journal, acquisition_of(series))
    if options.scale[0] > 1:
        require_even_slices(series.slice_origins_mm is None, series.name)
    grid, origins = output_places(series, options.scale)
    source = DecodedSlices(series.grid.shape, lambda start, stop: read_slices(series, start, stop), _CONTEXT)
    enhancement = bench.enhancer.open(source, series.grid.spacing_mm, options, plan, acquisition_of(series))
    created = datetime.now().astimezone() if journal is None else journal.created
    derivation = derivation_of(enhancement, options, bench.enhancer, created)
    sample = ReportSample(series.grid, options.scale)
    with Staging(settings.overwrite) as staging:
        form = EnhancedImageWriter if settings.multiframe else DerivedSeriesWriter

        def writer(of: Derivation, transform: Transform | None) -> tuple[Path, SeriesWriter]:
            single = DerivedHeader(series, grid, of, origins)
            uid = enhanced_series_uid(single) if settings.multiframe else single.series_uid
            place = patient / privacy.uid(str(uid))
            folder = staging.folder(place)
            return place, form(
                series,
                grid,
                of,
                folder,
                slice_origins_mm=origins,
                transfer_syntax=TRANSFER_SYNTAXES[settings.transfer_syntax],
                transform_dataset=transform,
            )

        final, enhanced = writer(derivation, privacy.transform)
        places, uncertain = [final], None
        if options.uncertainty:
            place, uncertain = writer(uncertainty_derivation(derivation), described_steps(privacy.transform))
            places.append(place)
        page = final.with_name(f"{final.name}.html")
        partial_page = staging.file(page) if settings.report else None
        for start, hu in enhancement.slabs():
            spread = enhancement.uncertainty(start) if uncertain else None
            for offset, plane in enumerate(hu):
                enhanced.write(start + offset, plane)
                if uncertain and spread is not None:
                    uncertain.write(start + offset, stored_steps(spread[offset]))
            sample.remember(start, hu, spread)
            if watch is not None:
                watch(start, hu)
            progress(start + len(hu), grid.shape[0])
            if start == 0 and partial_page:
                # Beside the networks, which leave Python idle: half a second less at the end.
                threading.Thread(target=_import_report, daemon=True).start()
        facts = _facts(enhancement, grid)
        hindered = write_report(partial_page, sample, source, facts) if partial_page else []
        if partial_page and not hindered:
            places.append(page)
        quoting = [*series.warnings, *own_work_warnings(series), *enhanced.warnings, *hindered]
        outcome = Outcome(_relative(places, bench), facts, enhancement.warnings(), quoting)
        _publish(staging, places, outcome, journal)
    return outcome


def enhance_file(file: VolumeFile, bench: Bench, progress: Progress, journal: Journal | None = None) -> Outcome:
    """Enhance a NIfTI, NRRD or MetaImage volume into a file of the same format at the same place below DEST.

    Args:
        file: the volume.
        bench: what to work with.
        progress: called with slices done and slices in all.
        journal: where the result is announced; None announces it nowhere.

    Raises:
        InputError: if the file cannot be used or the output cannot be written.
        UsageError: if the output exists, or an option does not fit.
    """
    settings = bench.settings
    if settings.format == "dicom":
        raise UsageError(
            str(file.path), "a volume file has no headers to make a DICOM series of", "use --format auto, nifti or nrrd"
        )
    path = bench.dest / volume_place(file, settings.format, bench.privacy)
    volume = read_volume_file(file.path)
    return _enhance_volume(volume, path, settings.options_for(volume.spacing_mm), bench, progress, journal)


def _enhance_volume(
    volume: CTVolume,
    path: Path,
    options: EnhanceOptions,
    bench: Bench,
    progress: Progress,
    journal: Journal | None,
    acquisition: Acquisition | None = None,
) -> Outcome:
    """Enhance a volume in memory into one file, with its uncertainty and its report beside it."""
    page = path.with_name(f"{path.name}.html")
    with Staging(bench.settings.overwrite) as staging:
        partial, places = staging.file(path), [path]
        partial_spread = staging.file(uncertainty_file(path)) if options.uncertainty else None
        partial_page = staging.file(page) if bench.settings.report else None
        result, enhancement = bench.enhancer.enhance(volume, options, progress, acquisition)
        facts = _facts(enhancement, result.grid)
        write_volume_file(result, partial, overwrite=True)
        spread = enhancement.spread_hu
        if partial_spread and spread is not None:
            write_volume_file(result.with_hu(spread), partial_spread, overwrite=True)
            places.append(uncertainty_file(path))
        hindered = []
        if partial_page:
            sample = ReportSample(volume.grid, options.scale)
            sample.remember(0, result.hu, spread)
            hindered = write_report(partial_page, sample, ArraySlices(volume.hu), facts)
            places.extend([] if hindered else [page])
        quoting = [*volume.provenance.get("warnings", ()), *hindered]
        outcome = Outcome(_relative(places, bench), facts, enhancement.warnings(), quoting)
        _publish(staging, places, outcome, journal)
    return outcome


def _relative(places: Sequence[Path], bench: Bench) -> list[str]:
    return [str(place.relative_to(bench.dest)) for place in places]


def _publish(staging: Staging, places: Sequence[Path], outcome: Outcome, journal: Journal | None) -> None:
    """Let the result and what belongs to it appear together, announced in the journal."""
    staging.withdraw_all_but(places)
    if journal is None:
        staging.publish()
    else:
        staging.publish(journal.record, journal.told(outcome))


def _facts(enhancement: Enhancement, grid: VoxelGrid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm], **enhancement.facts()}


def _import_report() -> None:
    with suppress(ImportError):
        import med_stylesr.report.enhance_report  # noqa: F401


def write_report(page: Path, sample: ReportSample, source: SliceSource, facts: dict[str, Any]) -> list[str]:
    """Write the HTML report of a scan; what hinders it comes back as a warning, since the scan itself is done."""
    try:
        from med_stylesr.report.enhance_report import write_enhance_report

        before, after = sample.volumes(source)
        write_enhance_report(page, before, after, facts, uncertainty=sample.uncertainty())
    except ImportError as error:
        return [f"no report was written ({error.name} is not installed: pip install 'med-stylesr[report]')"]
    except MedStyleError as error:
        return [f"no report was written: {error}"]
    except Exception as error:
        return [f"no report was written ({type(error).__name__}: {error})"]
    return []
