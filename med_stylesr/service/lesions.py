"""`lesions`: put low-contrast lesions into a scan, enhance it, let a model observer look; write numbers and a page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr import __version__
from med_stylesr.errors import InputError, UsageError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.pipeline import pipeline
from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.inference.runtime import Runtime
from med_stylesr.inference.slices import ArraySlices, InPlane, SliceSource
from med_stylesr.io.publish import Staging
from med_stylesr.metrics.detectability import Task
from med_stylesr.metrics.lesion_study import LesionResult, Process, lesion_study
from med_stylesr.metrics.regions import flat_rois
from med_stylesr.report.lesion_report import lesion_picture, write_lesion_page
from med_stylesr.service.evaluate import plain_json
from med_stylesr.service.reading import read_single

INPUT: Final = "input"
"""The scan as it is: what every way of processing is compared with."""
FEWEST_REGIONS: Final = 60
"""What the observer needs to learn its channels' covariance."""
MARGIN_MM: Final = 2.0
"""A region is twice as wide as the largest lesion, and so much wider."""
_SLAB: Final = 8
"""Slices after which progress is told."""

Events = Callable[[Mapping[str, Any]], None]
Results = dict[Task, dict[str, LesionResult]]


@dataclass(frozen=True)
class LesionPlan:
    """What to put where, and how to enhance it.

    Attributes:
        scan: the low-dose scan: a DICOM folder or a volume file.
        sizes_mm: diameters of the lesions.
        contrasts_hu: what they differ by from their surroundings; every size comes with every contrast.
        styles: styles of the bundle.
        strengths: of the correction, 0 … 1.
        dose_fraction: also as `enhance --dose` would do with it, or None.
        pairs: regions wanted.
        blur_mm: standard deviation of the scan's own blur, which lesions are given.
        seed: of the observer's split and bootstrap.
    """

    scan: Path
    sizes_mm: Sequence[float]
    contrasts_hu: Sequence[float]
    styles: Sequence[str]
    strengths: Sequence[float]
    dose_fraction: float | None
    pairs: int
    blur_mm: float
    seed: int = 0

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            UsageError: naming the option.
        """
        if not self.scan.exists():
            raise UsageError(str(self.scan), "does not exist", "name a series' folder or a volume file")
        for option, values in (("--size", self.sizes_mm), ("--contrast", self.contrasts_hu)):
            if not values:
                raise UsageError(option, "names none", "name one or several, separated by commas")
        for size in self.sizes_mm:
            if not 1 <= size <= 50:
                raise UsageError(f"--size {size:g}", "is no diameter of a lesion", "use 1 … 50 mm")
        for contrast in self.contrasts_hu:
            if contrast == 0 or abs(contrast) > 500:
                raise UsageError(f"--contrast {contrast:g}", "is no contrast of a lesion", "use for example -15,-30")
        for strength in self.strengths:
            if not 0 <= strength <= 1:
                raise UsageError(f"--strengths {strength:g}", "is not between 0 and 1", "use for example 0.5,1")
        StrengthRequest(dose_fraction=self.dose_fraction).check()
        if not self.strengths and self.dose_fraction is None:
            raise UsageError("--strengths", "names none", "use for example 0.5,1")

    @property
    def tasks(self) -> list[Task]:
        """The lesions."""
        return [Task(size, contrast) for size, contrast in product(self.sizes_mm, self.contrasts_hu)]

    @property
    def region_mm(self) -> float:
        """Edge of a region."""
        return 2 * max(self.sizes_mm) + MARGIN_MM


def run_lesions(
    plan: LesionPlan, enhancer: Enhancer, out: Path, *, page: bool, overwrite: bool, events: Events
) -> dict[str, Any]:
    """Do `study_lesions` and write lesions.json, and lesions.png and lesions.html if `page`; all of them or none.

    Returns:
        Content of lesions.json.

    Raises:
        UsageError: see `study_lesions`, or if `out` holds an earlier study and `overwrite` is off.
        InputError: see `study_lesions`, or if the disk is full.
    """
    with Staging(overwrite) as staging:
        numbers = staging.file(out / "lesions.json")
        pictures = [staging.file(out / name) for name in ("lesions.png", "lesions.html")] if page else []
        document, results = study_lesions(plan, enhancer, events)
        numbers.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False), "utf-8")
        if pictures:
            picture = lesion_picture(results)
            pictures[0].write_bytes(picture)
            write_lesion_page(pictures[1], document, picture)
        staging.publish()
    return document


def study_lesions(plan: LesionPlan, enhancer: Enhancer, events: Events) -> tuple[dict[str, Any], Results]:
    """Put every lesion into the scan and look what each way of enhancing it does to them.

    Args:
        plan: what to do.
        enhancer: the bundle.
        events: told "start", then "series", "progress" and "done" for the scan without lesions and for each lesion.

    Returns:
        Content of lesions.json, and the results with their pictures.

    Raises:
        UsageError: for numbers that mean nothing, a style that the bundle has not, or a `scan` that is not one scan.
        InputError: if the scan is damaged or has too little flat soft tissue.
    """
    plan.check()
    for style in plan.styles:
        enhancer.check(EnhanceOptions(style=style))
    scan = read_single(plan.scan)
    rois = flat_rois(scan.hu, scan.spacing_mm, size_mm=plan.region_mm, count=plan.pairs)
    if len(rois) < FEWEST_REGIONS:
        why = f"has {len(rois)} flat regions of soft tissue {plan.region_mm:g} mm wide, {FEWEST_REGIONS} are needed"
        raise InputError(str(plan.scan), why, "use smaller lesions or a longer scan")
    slices = sorted({roi.slice for roi in rois})
    runs = len(plan.styles) * (bool(plan.strengths) + (plan.dose_fraction is not None))
    progress = _Progress(plan.tasks, len(slices) * runs, events)
    ways = _ways(plan, enhancer, scan.spacing_mm, scan.hu, slices, progress.add)
    results = lesion_study(
        scan.hu, scan.spacing_mm, ways, plan.tasks, rois, blur_mm=plan.blur_mm, seed=plan.seed, begin=progress.begin
    )
    progress.end()
    bundle = enhancer.bundle(2)
    document = {
        "version": __version__,
        "scan": f"{plan.scan.parent.name}/{plan.scan.name}",
        "bundle": {"name": bundle.name, "version": bundle.version, "weights_sha256": bundle.weights_sha256},
        "runtime": enhancer.runtime(2).facts(),
        "spacing_mm": list(scan.spacing_mm),
        "slices": len(scan.hu),
        "pairs": len(rois),
        "pairs_wanted": plan.pairs,
        "region_mm": plan.region_mm,
        "blur_mm": plan.blur_mm,
        "dose_fraction": plan.dose_fraction,
        "ways": list(ways),
        "lesions": [_lesion(task, mine) for task, mine in results.items()],
    }
    return dict(plain_json(document)), results


def _lesion(task: Task, results: Mapping[str, LesionResult]) -> dict[str, Any]:
    before = results[INPUT].observer.auc
    found = {
        name: {
            "auc": round(one.observer.auc, 4),
            "auc_low": round(one.observer.auc_low, 4),
            "auc_high": round(one.observer.auc_high, 4),
            "d_prime": one.observer.d_prime,
            "contrast_kept": one.contrast_kept,
            "harder_to_see": one.observer.auc_high < before,
        }
        for name, one in results.items()
    }
    return {"diameter_mm": task.diameter_mm, "contrast_hu": task.contrast_hu, "results": found}


def _ways(
    plan: LesionPlan,
    enhancer: Enhancer,
    spacing_mm: tuple[float, float, float],
    hu: NDArray[Any],
    slices: Sequence[int],
    progress: Callable[[int], None],
) -> dict[str, Process]:
    """Every way of processing by its name, the scan as it is first."""
    ways: dict[str, Process] = {INPUT: lambda scan: scan}
    runtime = enhancer.runtime(2)
    for style in plan.styles:
        terms = _Terms(runtime, style, slices, progress)
        for strength in plan.strengths:
            ways[f"{style} {strength:g}"] = terms.at(strength)
        if plan.dose_fraction is not None:
            options = EnhanceOptions(style=style, request=StrengthRequest(dose_fraction=plan.dose_fraction))
            solved = enhancer.open(ArraySlices(hu), spacing_mm, options).plan

            def as_enhance(scan: NDArray[np.float32], options: EnhanceOptions = options, solved: Any = solved) -> Any:
                stage = pipeline(ArraySlices(scan), spacing_mm, solved, options, runtime, lambda: enhancer.runtime(3))
                return _with_slices(scan, stage, slices, progress)

            ways[f"{style} --dose {plan.dose_fraction:g}"] = as_enhance
    return ways


class _Terms:
    """Base and correction of a style for the scan seen last, so that its strengths cost one run of the network."""

    def __init__(self, runtime: Runtime, style: str, slices: Sequence[int], progress: Callable[[int], None]) -> None:
        self._runtime, self._code = runtime, runtime.style_code(style)
        self._slices, self._progress = slices, progress
        self._last: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None = None

    def at(self, strength: float) -> Process:
        """Processing as by `enhance --strength`."""

        def process(hu: NDArray[np.float32]) -> NDArray[np.float32]:
            if self._last is None or self._last[0] is not hu:
                self._last = (hu, *self._run(hu))
            result = hu.copy()
            result[self._slices] = self._last[1] + strength * self._last[2]
            return result

        return process

    def _run(self, hu: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        stage = InPlane(ArraySlices(hu), self._runtime, self._code, 1.0, (1, 1))
        parts = []
        for start in range(0, len(self._slices), _SLAB):
            some = self._slices[start : start + _SLAB]
            parts.append(stage.base_and_correction(some))
            self._progress(len(some))
        return np.concatenate([base for base, _ in parts]), np.concatenate([correction for _, correction in parts])


def _with_slices(
    hu: NDArray[np.float32], stage: SliceSource, slices: Sequence[int], progress: Callable[[int], None]
) -> NDArray[np.float32]:
    """The scan with some of its slices from a stage."""
    result = hu.copy()
    for k in slices:
        result[k] = stage.read(k, k + 1)[0]
        progress(1)
    return result


class _Progress:
    """Tells what is worked on: the scan as it is, then every lesion."""

    def __init__(self, tasks: Sequence[Task], total: int, events: Events) -> None:
        self._count, self._total, self._events = len(tasks) + 1, total, events
        self._number, self._done, self._since = 0, 0, time.monotonic()

    def begin(self, task: Task | None) -> None:
        """The next scan is processed."""
        if self._number == 0:
            self._events({"event": "start", "total": self._count})
        else:
            self.end()
        name = "without lesions" if task is None else f"lesions of {task.diameter_mm:g} mm, {task.contrast_hu:+g} HU"
        self._number, self._done, self._since = self._number + 1, 0, time.monotonic()
        self._events({"event": "series", "number": self._number, "total": self._count, "source": name})

    def add(self, slices: int) -> None:
        """So many slices more are done."""
        self._done += slices
        self._events({"event": "progress", "number": self._number, "done": self._done, "total": self._total})

    def end(self) -> None:
        """The scan at work is done."""
        seconds = round(time.monotonic() - self._since, 2)
        self._events({"event": "done", "number": self._number, "seconds": seconds, "facts": {}})
