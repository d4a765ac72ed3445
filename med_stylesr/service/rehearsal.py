"""What a run would do, with an estimate of time and disk; nothing is written."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from med_stylesr.errors import MedStyleError
from med_stylesr.inference.request import EnhanceOptions
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs
from med_stylesr.service.batch import refuse_mixture
from med_stylesr.service.manifest import Earlier, Manifest, read_earlier
from med_stylesr.service.plan import Events, Job, plan, put_skipped
from med_stylesr.service.preflight import check_places
from med_stylesr.service.privacy import privacy_for
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import load_enhancer, result_voxels
from med_stylesr.volume import CTVolume

if TYPE_CHECKING:
    from med_stylesr.inference.enhancer import Enhancer

_PROBE: Final = (4, 256, 256)
"""Slices of noise that the network is timed on."""
_BYTES_PER_VOXEL: Final = 2
_COMPRESSED: Final = {"uncompressed": 1.0, "deflated": 0.6, "rle": 0.75, "jpeg-ls": 0.45, "jpeg-2000": 0.45}
"""Size of a chest CT without noise reduction in each encoding, as a share of its raw size."""
_HEADER_BYTES: Final = 6_000
_REPORT_BYTES: Final = 3_000_000
_SECONDS_PER_MEGAVOXEL: Final = 0.06
"""Reading and writing of DICOM on one core."""


def rehearse(
    source: Path, dest: Path, settings: EnhanceSettings, *, jobs: int, resume: bool, events: Events
) -> Manifest:
    """Tell what `run_batch` would do with the same arguments.

    Returns:
        The manifest as the run would begin with it; it is not saved.

    Raises:
        UsageError: if nothing in `source` can be used, or options cannot be met.
    """
    check_places(
        source,
        dest,
        resume=resume,
        overwrite=settings.overwrite,
        deidentify=settings.deidentify,
        key_file=settings.key_file,
    )
    refuse_mixture(dest, settings)
    known = settings.key_file if settings.key_file is not None and settings.key_file.exists() else None
    privacy = privacy_for(settings.deidentify, known)
    enhancer = load_enhancer(settings)
    offer = enhancer.offer(settings.through_plane)
    offer.check(settings.options)
    events({"event": "scan", "source": str(source)})
    with find_inputs(source) as inputs:
        privacy.harvest(inputs.series)
        earlier = read_earlier(dest)
        manifest = Manifest(dest, "enhance", {"jobs": jobs, **settings.record()}, earlier.done)
        put_skipped(inputs, privacy, manifest, events)
        known_done = earlier if resume else Earlier()
        todo = plan(inputs, settings, privacy, offer.digests, "", known_done, manifest, events)
        paces: dict[tuple[int, int, int], float] = {}
        seconds = size = 0.0
        for job in todo:
            scale = _scale_of(job, settings)
            if scale not in paces:
                paces[scale] = _seconds_per_megavoxel(enhancer, settings, scale)
            megavoxels = result_voxels(job, settings) / 1e6
            own_seconds, own_size = megavoxels * paces[scale], _size(job, settings)
            seconds, size = seconds + own_seconds, size + own_size
            told = {"source": job.shown, "number": job.number, "total": len(todo)}
            events({"event": "plan", **told, "seconds": round(own_seconds, 1), "bytes": int(own_size)})
    standing = next(place for place in (dest, *dest.absolute().parents) if place.exists())
    free = shutil.disk_usage(standing).free
    whole = {"total": len(todo), "seconds": round(seconds / jobs, 1), "bytes": int(size), "free_bytes": free}
    events({"event": "estimate", **whole})
    return manifest


def _scale_of(job: Job, settings: EnhanceSettings) -> tuple[int, int, int]:
    if not isinstance(job.item, DicomSeries):
        return settings.options.scale
    try:
        return settings.options_for(job.item.grid.spacing_mm).scale
    except MedStyleError:
        return (1, 1, 1)


def _seconds_per_megavoxel(enhancer: Enhancer, settings: EnhanceSettings, scale: tuple[int, int, int]) -> float:
    """Time that a million voxels of a result take here, measured on a little noise."""
    hu = np.random.default_rng(0).normal(40.0, 20.0, _PROBE).astype(np.int16)
    options = EnhanceOptions(scale, settings.options.style, settings.options.request)
    volume = CTVolume(hu, np.diag([0.8, 0.8, 2.5, 1.0]))
    begun = time.perf_counter()
    result, _ = enhancer.enhance(volume, options)
    return (time.perf_counter() - begun) / (result.hu.size / 1e6) + _SECONDS_PER_MEGAVOXEL


def _size(job: Job, settings: EnhanceSettings) -> float:
    voxels = result_voxels(job, settings)
    report = _REPORT_BYTES if settings.report else 0
    if not isinstance(job.item, DicomSeries):
        return voxels + report
    slices = len(job.item) * _scale_of(job, settings)[0]
    share = _COMPRESSED[settings.transfer_syntax] if settings.format in ("auto", "dicom") else 0.5
    return voxels * _BYTES_PER_VOXEL * share + slices * _HEADER_BYTES + report
