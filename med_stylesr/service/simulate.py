"""Simulated low-dose and low-resolution partners of every scan in a source, in the format it came in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import torch
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from med_stylesr import __version__
from med_stylesr.degrade.scan import DegradationPlan, DegradedScan, degrade_scan
from med_stylesr.errors import MedStyleError, UsageError
from med_stylesr.inference.runtime import pick_device
from med_stylesr.io.derivation import SPATIAL_RESAMPLING, Code, Derivation
from med_stylesr.io.derived_header import DerivedHeader
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter
from med_stylesr.io.names import safe_component
from med_stylesr.io.publish import check_apart, staged_file, staged_folder
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile, find_inputs
from med_stylesr.io.volume_file import read_volume_file, volume_ending, write_volume_file
from med_stylesr.service.manifest import DONE, FAILED, SKIPPED, Entry, Manifest

_NOISE_ADDED: Final = Code("SIMLOWDOSE", "99MEDSTYLESR", "Simulated low dose noise")
"""No code of CID 7203 says that noise was added; the context group is extensible."""
_SERIES_NUMBER_OFFSET: Final = 8000
_WRITTEN_AS: Final = {".mhd": ".mha", ".nhdr": ".nrrd"}

Events = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class _Job:
    item: DicomSeries | VolumeFile
    name: str
    kind: str


def simulate_all(
    source: Path, dest: Path, plan: DegradationPlan, *, device: str, overwrite: bool, events: Events
) -> Manifest:
    """Degrade everything in `source` into `dest`; a scan that fails does not stop the others.

    Args:
        source: folder, file, archive or DICOMDIR.
        dest: output folder.
        plan: what to do.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: whether existing output is replaced.
        events: told what happens, as in `service.batch`.

    Returns:
        The manifest, every entry done, failed or skipped.

    Raises:
        UsageError: if nothing in `source` can be used.
    """
    check_apart(source, dest)
    where = pick_device(device)
    events({"event": "scan", "source": str(source)})
    with find_inputs(source) as inputs:
        arguments = {"source": str(source), "device": device, "overwrite": overwrite, **asdict(plan)}
        manifest = Manifest(dest, "simulate", arguments)
        for skipped in inputs.skipped:
            status = FAILED if skipped.problem else SKIPPED
            manifest.set(Entry(skipped.name, "other", status, skipped.reason))
            events({"event": "skip", "source": skipped.name, "reason": skipped.reason, "problem": skipped.problem})
        jobs = _jobs(inputs)
        events({"event": "start", "total": len(jobs)})
        for number, job in enumerate(jobs):
            events({"event": "series", "source": job.name, "number": number + 1, "total": len(jobs)})

            def progress(done: int, total: int, name: str = job.name) -> None:
                events({"event": "progress", "source": name, "done": done, "total": total})

            entry = _attempt(job, dest, plan, where, overwrite, progress)
            manifest.set(entry)
            events({"event": entry.status, **{k: v for k, v in vars(entry).items() if k not in ("kind", "status")}})
    events({"event": "end", "manifest": str(dest / "manifest.json")})
    return manifest


def _jobs(inputs: Inputs) -> list[_Job]:
    series = [_Job(one, one.name, "dicom") for one in inputs.series]
    return series + [_Job(file, str(file.relative), "volume") for file in inputs.volumes]


def _attempt(
    job: _Job,
    dest: Path,
    plan: DegradationPlan,
    device: torch.device,
    overwrite: bool,
    progress: Callable[[int, int], None],
) -> Entry:
    started = time.monotonic()
    entry = Entry(job.name, job.kind, FAILED)
    try:
        if isinstance(job.item, DicomSeries):
            entry = replace(entry, **_simulate_series(job.item, dest, plan, device, overwrite, progress))
        else:
            entry = replace(entry, **_simulate_file(job.item, dest, plan, device, overwrite, progress))
        entry.status = DONE
    except MedStyleError as error:
        entry.reason = "; ".join(part for part in (error.why, error.todo) if part)
    except MemoryError:
        entry.reason = "not enough memory"
    except Exception as error:
        entry.reason = f"internal error: {type(error).__name__}: {error}"
    return replace(entry, seconds=round(time.monotonic() - started, 2))


def _simulate_series(
    series: DicomSeries,
    dest: Path,
    plan: DegradationPlan,
    device: torch.device,
    overwrite: bool,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    scan = degrade_scan(read_volume(series), series.thickness_mm, plan, device, series.name, progress)
    derivation = _derivation(plan, scan)
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
    _refuse_existing(sidecar, overwrite)
    with staged_folder(final, overwrite) as folder:
        writer = DerivedSeriesWriter(
            series, grid, derivation, folder, slice_origins_mm=origins, transform_dataset=with_thickness
        )
        for k, (plane, sources) in enumerate(zip(scan.volume.hu, scan.sources, strict=True)):
            writer.write(k, plane, sources)
    _write_sidecar(sidecar, series.name, scan)
    files = [str(final.relative_to(dest) / path.name) for path in writer.files]
    outputs = [*files, str(sidecar.relative_to(dest))]
    return {"outputs": outputs, "facts": scan.facts, "warnings": [*series.warnings, *writer.warnings]}


def _simulate_file(
    file: VolumeFile,
    dest: Path,
    plan: DegradationPlan,
    device: torch.device,
    overwrite: bool,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    volume = read_volume_file(file.path)
    scan = degrade_scan(volume, None, plan, device, str(file.relative), progress)
    ending = volume_ending(file.relative)
    stem = file.relative.name[: len(file.relative.name) - len(ending)]
    path = dest / file.relative.with_name(stem + _WRITTEN_AS.get(ending, ending))
    sidecar = path.with_name(f"{path.name}.json")
    _refuse_existing(sidecar, overwrite)
    write_volume_file(scan.volume, path, overwrite)
    _write_sidecar(sidecar, str(file.relative), scan)
    outputs = [str(p.relative_to(dest)) for p in (path, sidecar)]
    return {"outputs": outputs, "facts": scan.facts, "warnings": list(volume.provenance.get("warnings", ()))}


def _derivation(plan: DegradationPlan, scan: DegradedScan) -> Derivation:
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
        created=datetime.now().astimezone(),
        series_suffix=f"simulated {plan.dose_fraction:.0%} dose" if noisy else "simulated low resolution",
        series_number_offset=_SERIES_NUMBER_OFFSET,
        source_radius=0,
        parameters=parameters,
    )


def _write_sidecar(path: Path, source: str, scan: DegradedScan) -> None:
    told = {"tool": f"med-stylesr {__version__}", "source": source, **scan.facts}
    # The data beside it has been published just now, so that an older sidecar is always stale.
    with staged_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UsageError(str(path), "exists already", "use --overwrite, or another DEST")
