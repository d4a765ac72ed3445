"""Dynamic DICOM series, phase by phase in order of time under one strength, each into a derived series of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.inference.slices import DecodedSlices
from med_stylesr.inference.strength import StrengthPlan
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.service.acquisition import acquisition_of
from med_stylesr.service.batch import exit_status
from med_stylesr.service.dynamic import dynamic_scans, left_out
from med_stylesr.service.flicker import Flicker, averaged
from med_stylesr.service.jobs import Bench, Journal, Outcome, enhance_series
from med_stylesr.service.manifest import DONE, FAILED, Entry, Manifest, record_path
from med_stylesr.service.plan import identity_of, put_skipped
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.stream_record import record_of
from med_stylesr.service.workers import load_enhancer

FLICKER_SLICES: Final = 16
"""Slices of every phase that flicker is measured on: memory stays bounded however long the scan."""


def stream_series(
    source: Path, dest: Path, settings: EnhanceSettings, tell: Callable[[str], None], *, resume: bool = False
) -> int:
    """Enhance every dynamic series of SOURCE; series that are not dynamic are left alone.

    Args:
        source: DICOM folder, file, archive or DICOMDIR.
        dest: folder for the results and their manifest, which has an entry for every phase.
        settings: what to do; no reports are written.
        tell: told a line after every phase and for all that is not used, and one about flicker after the last phase.
        resume: skip phases that an earlier run with the same settings has done.

    Returns:
        Exit status: 1 if a phase failed or could not join the others, or a file is damaged.

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
            put_skipped(inputs, bench.privacy, record.manifest, partial(_tell_skipped, tell))
            for phase, why in left_out(inputs.series, scans):
                entry = record.entry("dicom", phase.name, identity_of(phase)[1], digests)
                reason = f"{why}; export the series again, or leave --stream out"
                record.manifest.put(replace(entry, status=FAILED, reason=reason))
                tell(f"failed: {phase.name}: {reason}")
            for phases in scans:
                # The first phase decides the strength of all.
                leading = identity_of(phases[0])[1]
                entries = [
                    record.entry("dicom", phase.name, f"{leading}\n{identity_of(phase)[1]}", digests)
                    for phase in phases
                ]
                done = list[Entry | None]()
                for entry in entries:
                    done.append(record.done(entry) if resume else None)
                    if done[-1] is None:
                        record.manifest.put(entry)
                if all(done):
                    tell(f"series {phases[0].uid}: done by an earlier run")
                else:
                    _Scan(phases, entries, done, bench, record.manifest, tell).work()
            record.manifest.save()
    return exit_status(record.manifest)


def _tell_skipped(tell: Callable[[str], None], event: Mapping[str, Any]) -> None:
    tell(f"{'failed' if event['problem'] else 'skipped'}: {event['source']}: {event['reason']}")


@dataclass(frozen=True)
class _Scan:
    """The phases of one series, in order of time.

    Attributes:
        phases: the phases.
        entries: of each, as planned.
        done: of each, as an earlier run has done it, or None.
        bench: what to work with.
        manifest: gets an entry for every phase.
        tell: told what happens.
    """

    phases: Sequence[DicomSeries]
    entries: Sequence[Entry]
    done: Sequence[Entry | None]
    bench: Bench
    manifest: Manifest
    tell: Callable[[str], None]

    def work(self) -> None:
        """Do what is missing; a phase that fails costs only itself, unless the strength is decided on it."""
        flicker, slices, seconds = Flicker(), 0, 0.0
        try:
            plan = self._plan()
        except MedStyleError as error:
            for number, done in enumerate(self.done):
                if done is None:
                    self._fail(number, error)
            return
        for number, (phase, known) in enumerate(zip(self.phases, self.done, strict=True)):
            kept = _Kept(phase, self.bench.settings.options.scale)
            began = time.monotonic()
            place = f"frame {number + 1}/{len(self.phases)} ({phase.part})"
            try:
                if known is None:
                    entry = self._enhanced(number, kept, flicker, plan)
                    slices, seconds = slices + entry.facts["shape"][0], seconds + time.monotonic() - began
                    self.tell(f"{place}: {slices / seconds:.1f} slices/s")
                else:
                    self.tell(f"{place}: done by an earlier run")
                    kept.take_written(self.bench.dest / known.outputs[0])
                    flicker.add(*kept.pair())
                    entry = replace(known, facts={**known.facts, **self._time_facts(number, flicker)})
                self.manifest.set(entry)
            except MedStyleError as error:
                flicker.gap()
                if known is None:
                    self._fail(number, error)
        self.tell(flicker.told())

    def _plan(self) -> StrengthPlan:
        first = self.phases[0]
        scan = DecodedSlices(first.grid.shape, lambda start, stop: read_slices(first, start, stop), 0)
        options, acquisition = self.bench.settings.options, acquisition_of(first)
        return self.bench.enhancer.open(scan, first.grid.spacing_mm, options, acquisition=acquisition).plan

    def _enhanced(self, number: int, kept: _Kept, flicker: Flicker, plan: StrengthPlan) -> Entry:
        """One phase into DEST, announced there before it appears."""
        began, planned, made = time.monotonic(), self.entries[number], list[Entry]()

        def told(outcome: Outcome) -> Mapping[str, Any]:
            flicker.add(*kept.pair())
            seconds = time.monotonic() - began
            rate = round(outcome.facts["shape"][0] / seconds, 2)
            facts = {**outcome.facts, "slices_per_second": rate, **self._time_facts(number, flicker)}
            entry = replace(planned, status=DONE, outputs=outcome.outputs, facts=facts, seconds=round(seconds, 2))
            made.append(replace(entry, warnings=[*outcome.quoting, *outcome.warnings]))
            return vars(made[0])

        journal = Journal(record_path(self.bench.dest, planned.fingerprint), datetime.now().astimezone(), told)
        phase = self.phases[number]
        enhance_series(phase, self.bench, lambda done, total: None, journal, plan=plan, watch=kept.take)
        return made[0]

    def _time_facts(self, number: int, flicker: Flicker) -> dict[str, Any]:
        """What an entry says of time: flicker up to this frame."""
        return {"frame": number + 1, "frames": len(self.phases), "flicker": flicker.facts()}

    def _fail(self, number: int, error: MedStyleError) -> None:
        self.manifest.put(replace(self.entries[number], status=FAILED, reason=str(error)))
        self.tell(f"failed: frame {number + 1}/{len(self.phases)} ({self.phases[number].part}): {error}")


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

    def take_written(self, folder: Path) -> None:
        """Keep the same of a result that lies in a folder already.

        Raises:
            MedStyleError: if it cannot be read, or is not the result of this phase.
        """
        sz = self._scale[0]
        with find_inputs(folder) as written:
            shape = tuple(n * factor for n, factor in zip(self._phase.grid.shape, self._scale, strict=True))
            if len(written.series) != 1 or written.series[0].grid.shape != shape:
                raise InputError(str(folder), "is no longer the result of this phase", "remove it and use --resume")
            for k in self._wanted:
                hu = read_slices(written.series[0], k * sz, (k + 1) * sz).astype(np.float32)
                self._after[k] = averaged(hu, self._scale)[0]

    def pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """HU before and after, (slices, rows, columns)."""
        before = np.concatenate([read_slices(self._phase, k, k + 1) for k in self._wanted]).astype(np.float32)
        return before, np.stack([self._after[k] for k in self._wanted])
