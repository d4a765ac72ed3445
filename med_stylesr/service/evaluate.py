"""`evaluate`: pair results with their references, measure every pair, compare methods, write numbers and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from med_stylesr import __version__
from med_stylesr.errors import InputError, MedStyleError, UsageError
from med_stylesr.io.publish import staged_file
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile, find_inputs
from med_stylesr.io.volume_file import volume_ending
from med_stylesr.metrics.regions import Roi
from med_stylesr.report.against_reference import Case, measure_case
from med_stylesr.report.evaluate_report import write_evaluation_page
from med_stylesr.report.methods import compare
from med_stylesr.service.preflight import check_outputs
from med_stylesr.service.reading import read_item
from med_stylesr.service.rois import EVERY_SCAN
from med_stylesr.volume import CTVolume

INPUT: Final = "input"
"""Name under which the low-dose scans themselves are measured: what a method has to beat."""
SCHEMA: Final = "metrics-schema.json"

Events = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Evaluation:
    """What to compare.

    Attributes:
        methods: name → results of a method: a file, series folder, or a tree of them.
        reference: the normal-dose scans.
        source: the low-dose scans, measured as the method "input"; None without.
        max_slices: slices a scan for fidelity figures; 0 for all.
        rois: scan → regions to measure noise in, see `service.rois`; found automatically where there are none.
    """

    methods: Mapping[str, Path]
    reference: Path
    source: Path | None
    max_slices: int
    rois: Mapping[str, Sequence[Roi]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        document: content of metrics.json.
        problems: what could not be paired or measured: (what, why).
    """

    document: dict[str, Any]
    problems: list[tuple[str, str]] = field(default_factory=list)


def evaluate_all(plan: Evaluation, out: Path, *, page: bool, overwrite: bool, events: Events) -> Outcome:
    """Measure every result against its reference; a scan that fails does not stop the others.

    Args:
        plan: what to compare.
        out: folder for metrics.json, its schema and report.html.
        page: whether to write report.html.
        overwrite: whether files of an earlier run are replaced.
        events: told "start", "case" and "problem".

    Raises:
        UsageError: if nothing can be paired, a method is named twice or `out` holds earlier results or cannot be
            written to.
    """
    check_outputs(out, [SCHEMA, "metrics.json", *(["report.html"] if page else [])], overwrite=overwrite)
    sources = {**plan.methods, **({INPUT: plan.source} if plan.source else {})}
    problems: list[tuple[str, str]] = []
    cases: dict[str, dict[str, Case]] = {name: {} for name in sources}
    shown: tuple[str, CTVolume, CTVolume] | None = None
    with find_inputs(plan.reference) as references:
        wanted = _items(references)
        opened = {name: find_inputs(path) for name, path in sources.items()}
        try:
            pairs = {name: _pair(_items(inputs), wanted, name, problems) for name, inputs in opened.items()}
            todo = [key for key in wanted if any(key in mine for mine in pairs.values())]
            if not todo:
                raise UsageError(str(plan.reference), "none of the results belongs to a reference", _HOW_PAIRED)
            if strangers := set(plan.rois) - set(wanted) - {EVERY_SCAN}:
                raise UsageError(
                    f"regions of {min(strangers)}", f"no reference of that name; there are: {', '.join(wanted)}"
                )
            events({"event": "start", "total": len(todo)})
            for number, key in enumerate(todo, 1):
                events({"event": "case", "number": number, "total": len(todo), "name": key})
                try:
                    reference = read_item(wanted[key])
                    source = read_item(pairs[INPUT][key]) if key in pairs.get(INPUT, {}) else None
                except MedStyleError as error:
                    problems.append((error.what, error.why))
                    continue
                for name in sources:
                    if key not in pairs[name]:
                        continue
                    try:
                        image = source if name == INPUT and source is not None else read_item(pairs[name][key])
                        rois = plan.rois.get(key, plan.rois.get(EVERY_SCAN))
                        case = measure_case(image, reference, source, max_slices=plan.max_slices, rois=rois)
                        cases[name][key] = case
                        if case.figures["coverage"] < LEAST_COVERED:
                            share = f"covers {case.figures['coverage']:.0%} of the reference; measured there only"
                            events({"event": "problem", "what": f"{key}, {name}", "why": share})
                    except MedStyleError as error:
                        problems.append((error.what, error.why))
                        continue
                    if shown is None and name != INPUT:
                        shown = (key, reference, image)
        finally:
            for inputs in opened.values():
                inputs.close()
    for what, why in problems:
        events({"event": "problem", "what": what, "why": why})
    if not any(cases.values()):
        raise InputError(str(plan.reference), "no pair could be measured", "see the reasons above")
    document = plain_json(
        {
            "version": __version__,
            "schema": SCHEMA,
            "reference": str(plan.reference),
            "methods": {name: {key: case.figures for key, case in mine.items()} for name, mine in cases.items()},
            "comparison": compare(cases),
            "problems": [{"what": what, "why": why} for what, why in problems],
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    if page and shown is not None:
        with staged_file(out / "report.html", overwrite) as path:
            write_evaluation_page(path, document, cases, shown)
    with staged_file(out / SCHEMA, overwrite) as path:
        path.write_text(files("med_stylesr.report").joinpath("assets", SCHEMA).read_text("utf-8"), "utf-8")
    with staged_file(out / "metrics.json", overwrite) as path:
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False), "utf-8")
    return Outcome(document, problems)


LEAST_COVERED: Final = 0.99
"""Share of the reference from which on nobody is told that it is not the whole."""
_HOW_PAIRED: Final = "give files of equal names, series of equal SeriesDescription, or one scan on each side"


def _items(inputs: Inputs) -> dict[str, DicomSeries | VolumeFile]:
    """Scans by the name they are paired under; equal names get a number."""
    named: dict[str, DicomSeries | VolumeFile] = {}
    items: list[DicomSeries | VolumeFile] = [*inputs.volumes, *inputs.series]
    for item in items:
        if isinstance(item, VolumeFile):
            relative = item.relative.as_posix()
            base = relative[: len(relative) - len(volume_ending(item.relative))]
        else:
            base = item.description or item.uid
        name, count = base, 1
        while name in named:
            count += 1
            name = f"{base} ({count})"
        named[name] = item
    return named


def _pair(
    mine: dict[str, DicomSeries | VolumeFile],
    wanted: dict[str, DicomSeries | VolumeFile],
    method: str,
    problems: list[tuple[str, str]],
) -> dict[str, DicomSeries | VolumeFile]:
    """Results by the reference they belong to: one on each side, equal names, or a name that goes on from the other."""
    if len(mine) == len(wanted) == 1:
        return {next(iter(wanted)): next(iter(mine.values()))}
    paired: dict[str, DicomSeries | VolumeFile] = {}
    for name, item in mine.items():
        fitting = [key for key in wanted if key == name] or [
            key for key in wanted if name.startswith(key) or key.startswith(name)
        ]
        if len(fitting) == 1 and fitting[0] not in paired:
            paired[fitting[0]] = item
        else:
            why = "belongs to no reference" if not fitting else "belongs to several references"
            problems.append((f"{method}: {name}", f"{why}; {_HOW_PAIRED}"))
    return paired


def plain_json(value: Any) -> Any:
    """The same with JSON values only: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    if isinstance(value, (int, str)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None
