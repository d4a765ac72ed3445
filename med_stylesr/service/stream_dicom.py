"""Dynamic DICOM series, phase by phase in order of time under one strength, each into a derived series of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import MedStyleError, UsageError
from med_stylesr.inference.slices import DecodedSlices
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.service.batch import exit_status
from med_stylesr.service.dynamic import dynamic_scans
from med_stylesr.service.flicker import Flicker, averaged
from med_stylesr.service.jobs import Bench, enhance_series
from med_stylesr.service.manifest import DONE, FAILED, Entry
from med_stylesr.service.plan import identity_of
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream_record import record_of
from med_stylesr.service.workers import load_enhancer

FLICKER_SLICES: Final = 16
"""Slices of every phase that flicker is measured on: memory stays bounded however long the scan."""


def stream_series(
    source: Path, dest: Path, settings: EnhanceSettings, tell: Callable[[str], None], *, resume: bool = False
) -> int:
    """Enhance every dynamic series of SOURCE; what is not dynamic is left alone.

    Args:
        source: DICOM folder, file, archive or DICOMDIR.
        dest: folder for the results and their manifest.
        settings: what to do; no reports are written.
        tell: told a line after every phase, and one about flicker after the last of a series.
        resume: skip series that an earlier run with the same settings has done.

    Returns:
        Exit status: 1 if a series failed.

    Raises:
        UsageError: if no series is dynamic, or the results are not to be DICOM.
    """
    if settings.format not in ("auto", "dicom"):
        raise UsageError(f"--format {settings.format}", "phases of a DICOM series stay DICOM", "leave --format out")
    with find_inputs(source) as inputs:
        scans = dynamic_scans(inputs.series)
        if not scans:
            why = f"holds no series of several phases at the same places ({len(inputs.series)} CT series of one phase)"
            raise UsageError(str(source), why, "leave --stream out")
        bench = Bench(dest, replace(settings, report=False), load_enhancer(settings), Privacy(None, None))
        bench.enhancer.check(settings.options)
        digests = bench.enhancer.offer(settings.through_plane).digests
        with record_of(dest, source, settings) as record:
            for phases in scans:
                name, identity = f"series {phases[0].uid}", "\n".join(identity_of(phase)[1] for phase in phases)
                entry = record.entry("dicom", name, identity, digests)
                if resume and record.done(entry) is not None:
                    tell(f"{name}: done by an earlier run")
                    continue
                record.manifest.set(_streamed(phases, bench, tell, entry))
            record.manifest.save()
    return exit_status(record.manifest)


def _streamed(phases: Sequence[DicomSeries], bench: Bench, tell: Callable[[str], None], entry: Entry) -> Entry:
    """All phases of one series; an error ends in the entry, phases done before it stay."""
    began, flicker, slices, first = time.monotonic(), Flicker(), 0, phases[0]
    entry = replace(entry, status=DONE)
    try:
        options = bench.settings.options
        scan = DecodedSlices(first.grid.shape, lambda start, stop: read_slices(first, start, stop), 0)
        plan = bench.enhancer.open(scan, first.grid.spacing_mm, options).plan
        for number, phase in enumerate(phases, start=1):
            kept = _Kept(phase, options.scale)
            outcome = enhance_series(phase, bench, lambda done, total: None, plan=plan, watch=kept.take)
            flicker.add(*kept.pair())
            slices += outcome.facts["shape"][0]
            rate = slices / (time.monotonic() - began)
            tell(f"frame {number}/{len(phases)} ({phase.part}): {rate:.1f} slices/s")
            entry.outputs += outcome.outputs
            entry.warnings += [w for w in (*outcome.quoting, *outcome.warnings) if w not in entry.warnings]
            entry.facts = entry.facts or outcome.facts
        tell(flicker.told())
    except MedStyleError as error:
        entry.status, entry.reason = FAILED, str(error)
        tell(f"failed: {error}")
    seconds = time.monotonic() - began
    entry.seconds = round(seconds, 2)
    told: dict[str, Any] = {"frames": len(phases), "slices_per_second": round(slices / seconds, 2)}
    entry.facts = {**entry.facts, **told, "flicker": flicker.facts()}
    return entry


class _Kept:
    """Some slices of a phase, before and after, on the grid of the input.

    Args:
        phase: the phase.
        scale: factors (slice, row, column) of the result.
    """

    def __init__(self, phase: DicomSeries, scale: tuple[int, int, int]) -> None:
        self._phase, self._scale = phase, scale
        self._wanted = spread_indices(phase.grid.shape[0], FLICKER_SLICES)
        self._after: dict[int, NDArray[np.float32]] = {}

    def take(self, start: int, hu: NDArray[np.float32]) -> None:
        """Keep what is wanted of slices start … of the result, a slab of whole slices of the input."""
        sz = self._scale[0]
        for k in self._wanted:
            if start <= k * sz < start + len(hu):
                self._after[k] = averaged(hu[k * sz - start : (k + 1) * sz - start], self._scale)[0]

    def pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """HU before and after, (slices, rows, columns)."""
        before = np.concatenate([read_slices(self._phase, k, k + 1) for k in self._wanted]).astype(np.float32)
        return before, np.stack([self._after[k] for k in self._wanted])
