"""One scan and its simulated partner: read, degrade, write whole or not at all with the record beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import torch
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from med_stylesr import __version__
from med_stylesr.degrade.scan import DegradationPlan, DegradedScan, degrade_scan
from med_stylesr.io.derivation import SPATIAL_RESAMPLING, Code, Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter
from med_stylesr.io.names import safe_component
from med_stylesr.io.publish import Staging
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile
from med_stylesr.io.volume_file import read_volume_file, volume_ending, write_volume_file
from med_stylesr.service.own_work import own_work_warnings

_NOISE_ADDED: Final = Code("SIMLOWDOSE", "99MEDSTYLESR", "Simulated low dose noise")
"""No code of CID 7203 says that noise was added; the context group is extensible."""
_SERIES_NUMBER_OFFSET: Final = 8000
_WRITTEN_AS: Final = {".mhd": ".mha", ".nhdr": ".nrrd"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Bench:
    """What scans are simulated with.

    Attributes:
        dest: output folder.
        plan: what to do.
        device: where to compute.
        overwrite: whether existing output is replaced.
    """

    dest: Path
    plan: DegradationPlan
    device: torch.device
    overwrite: bool


@dataclass(frozen=True)
class Made:
    """What was made of a scan.

    Attributes:
        outputs: paths relative to DEST.
        facts: what was done, in numbers.
        warnings: what the reader must know.
    """

    outputs: list[str]
    facts: dict[str, Any]
    warnings: list[str]


Publish = Callable[[Staging, Made], None]
"""Lets what is staged appear, announced as it should be."""


def simulate_series(series: DicomSeries, bench: Bench, created: datetime, progress: Progress, publish: Publish) -> None:
    """Degrade a CT series into a derived DICOM series and the record beside it.

    Args:
        series: the series.
        bench: what to work with.
        created: what dates and times of creation in the output tell.
        progress: told slices done and slices in all.
        publish: called once, when all is written.

    Raises:
        InputError: if the series cannot be used or the output cannot be written.
        UsageError: if the output exists and is not to be replaced.
    """
    dest, plan = bench.dest, bench.plan
    scan = degrade_scan(read_volume(series), series.thickness_mm, plan, bench.device, series.name, progress)
    derivation = _derivation(plan, scan, created)
    grid = scan.volume.grid
    resampled = plan.thickness_mm is not None or plan.pixel_mm is not None
    origins = None if resampled else series.origins_mm

    def with_thickness(dataset: Dataset) -> Dataset:
        if plan.thickness_mm is not None:
            dataset.SliceThickness = format_number_as_ds(float(plan.thickness_mm))
        return dataset

    uid = str(DerivedHeader(series, grid, derivation, origins).series_uid)
    final = dest / safe_component(series.patient_id, "unknown-patient") / uid
    sidecar = final.with_name(f"{uid}.json")
    with Staging(bench.overwrite) as staging:
        folder, partial = staging.folder(final), staging.file(sidecar)
        writer = DerivedSeriesWriter(
            series, grid, derivation, folder, slice_origins_mm=origins, transform_dataset=with_thickness
        )
        for k, (plane, sources) in enumerate(zip(scan.volume.hu, scan.sources, strict=True)):
            writer.write(k, plane, sources)
        _write_sidecar(partial, series.name, scan)
        files = [str(final.relative_to(dest) / path.name) for path in writer.files]
        warnings = [*series.warnings, *own_work_warnings(series), *writer.warnings]
        publish(staging, Made([*files, str(sidecar.relative_to(dest))], scan.facts, warnings))


def simulate_file(file: VolumeFile, bench: Bench, progress: Progress, publish: Publish) -> None:
    """Degrade a volume file into one of the same format at the same place below DEST, with the record beside it.

    Args:
        file: the volume.
        bench: what to work with.
        progress: told slices done and slices in all.
        publish: called once, when all is written.

    Raises:
        InputError: if the file cannot be used or the output cannot be written.
        UsageError: if the output exists and is not to be replaced.
    """
    path = bench.dest / simulated_place(file)
    sidecar = path.with_name(f"{path.name}.json")
    with Staging(bench.overwrite) as staging:
        partial, partial_sidecar = staging.file(path), staging.file(sidecar)
        volume = read_volume_file(file.path)
        scan = degrade_scan(volume, None, bench.plan, bench.device, str(file.relative), progress)
        write_volume_file(scan.volume, partial, overwrite=True)
        _write_sidecar(partial_sidecar, str(file.relative), scan)
        outputs = [str(place.relative_to(bench.dest)) for place in (path, sidecar)]
        publish(staging, Made(outputs, scan.facts, list(volume.provenance.get("warnings", ()))))


def simulated_place(file: VolumeFile) -> Path:
    """Where below DEST the partner of a volume file goes: as below SOURCE; detached headers become one file."""
    ending = volume_ending(file.relative)
    stem = file.relative.name[: len(file.relative.name) - len(ending)]
    return file.relative.with_name(stem + _WRITTEN_AS.get(ending, ending))


def _derivation(plan: DegradationPlan, scan: DegradedScan, created: datetime) -> Derivation:
    """What the simulated series says of its making: dose, photons, kernel, seed, resolution."""
    noisy = plan.dose_fraction < 1
    resampled = plan.thickness_mm is not None or plan.pixel_mm is not None
    parameters: dict[str, object] = {}
    if noisy:
        parameters |= {
            "dose fraction": plan.dose_fraction,
            "I0 photons per ray": scan.facts["i0_photons"],
            "kernel": scan.facts["kernel"]["name"],
            "scanner geometry": plan.scanner,
            "electronic noise photons": plan.electronic_sd,
            "tube current modulation": scan.facts["tube_current_modulation"],
            "seed": plan.seed,
        }
    if plan.thickness_mm is not None:
        parameters |= {
            "thickness mm": plan.thickness_mm,
            "step mm": plan.step_mm or plan.thickness_mm,
            "profile": plan.profile,
        }
    if plan.pixel_mm is not None:
        parameters |= {"pixel mm": plan.pixel_mm, "PSF FWHM mm": plan.psf_fwhm_mm or plan.pixel_mm}
    codes = ((_NOISE_ADDED,) if noisy else ()) + ((SPATIAL_RESAMPLING,) if resampled else ())
    what = " and ".join(name for name, on in (("low dose", noisy), ("low resolution", resampled)) if on)
    return Derivation(
        summary=f"Simulated {what}, not for diagnosis",
        tool="med-stylesr",
        tool_version=__version__,
        codes=codes,
        created=created,
        series_suffix=f"simulated {plan.dose_fraction:.0%} dose" if noisy else "simulated low resolution",
        series_number_offset=_SERIES_NUMBER_OFFSET,
        source_radius=0,
        parameters=parameters,
    )


def _write_sidecar(path: Path, source: str, scan: DegradedScan) -> None:
    told = {"tool": f"med-stylesr {__version__}", "source": source, **scan.facts}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


__all__ = ["Bench", "Made", "simulate_file", "simulate_series", "simulated_place"]
