"""One volume through the engine, on a thread of its own: files, process, progress, result. Knows no Qt and no MRML."""

import queue
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from .blend import Blend
from .box import cropped_affine, finer_affine
from .engine_run import EngineRun
from .finer import finer
from .i18n import _
from .nrrd import read_nrrd, write_nrrd
from .problems import EngineProblem, OutOfMemory, explain

GRACE_S = 0.2
"""Time for the engine to stop by itself; its files are in a folder of ours, so nothing of it is missed."""


@dataclass
class Result:
    """What the engine made of a volume.

    Attributes:
        blend: from the input to the result, on the grid of the result.
        blends: whether it holds for other strengths than `strength`.
        strength: that is shown: as asked for, or as the engine has solved it.
        shown: HU at that strength, as they go into the scene.
        affine: of that grid, (column, row, slice, 1) to LPS mm.
        factors: super-resolution factors (slices, rows, columns) that were used.
        facts: as in the manifest: strength, noise, tissue shifts …
        warnings: what the engine warns of.
        seconds: time taken.
    """

    blend: Blend
    blends: bool
    strength: float
    shown: Optional[np.ndarray]
    affine: np.ndarray
    factors: tuple
    facts: dict[str, Any]
    warnings: list = field(default_factory=list)
    seconds: float = 0.0


class EngineTask(EngineRun):
    """A volume being enhanced. It may be made on any thread.

    Args:
        program: called on the task's thread; gives the `Program`.
        request: `EnhanceRequest`.
        voxels: HU (slices, rows, columns) of `outer`; the task's own copy.
        affine: 4x4 of the whole volume, (column, row, slice, 1) to LPS mm.
        outer: `Box` of the whole volume that `voxels` is.
        wanted: `Box` that the result is cut to.

    Attributes:
        result: `Result` once done.
        stage: what is being done, in words.
        done: slices done by the engine.
        total: slices in all; 0 while unknown.
    """

    def __init__(self, program, request, voxels, affine, outer, wanted):
        super().__init__("MedStyleSR", program, GRACE_S)
        self._request = request
        self._voxels, self._affine, self._outer, self._wanted = voxels, affine, outer, wanted
        self._blends = request.blends(np.linalg.norm(affine[:3, :3], axis=0)[::-1])
        self._log = queue.Queue()
        self._first_slices = None
        self.result = None
        self.stage, self.done, self.total = _("looking for the engine"), 0, 0

    def log(self):
        """Lines since the last call."""
        lines = []
        while not self._log.empty():
            lines.append(self._log.get_nowait())
        return lines

    def seconds_left(self):
        """Estimate from the slices done so far, or None."""
        if self._first_slices is None or self.done >= self.total:
            return None
        since, already = self._first_slices
        if self.done <= already:
            return None
        return (time.monotonic() - since) / (self.done - already) * (self.total - self.done)

    def _work(self):
        started = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="MedStyleSR-"))
        try:
            self.result = self._enhanced(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.result.seconds = time.monotonic() - started

    def _explained(self, error):
        if isinstance(error, MemoryError):
            return OutOfMemory(_("Slicer"), _("not enough memory"), _("close volumes that are not needed"))
        if isinstance(error, OSError):
            return EngineProblem(_("files"), str(error), _("make room on the disk of temporary files"))
        self._log.put(traceback.format_exc())
        return super()._explained(error)

    def _enhanced(self, folder):
        program = self._program()
        version = program.version()
        self._log.put(f"med-stylesr {version}: {' '.join(program.arguments)} ({program.origin})")
        self._go_on()
        self.stage = _("handing the volume over")
        voxels = as_transferred(self._voxels, self._request.solved)
        source, dest = folder / "volume.nrrd", folder / "result"
        write_nrrd(source, voxels, cropped_affine(self._affine, self._outer))
        self._go_on()
        self.stage = _("starting the engine")
        done = self._process_volume(program, source, dest, folder)
        self.stage = _("reading the result")
        output = next((dest / name for name in done["outputs"] if name.endswith(".nrrd")), None)
        if output is None:
            raise EngineProblem(_("engine"), _("ended without a result"), _("see the log"))
        full, _affine = read_nrrd(output)
        self._go_on()
        return self._finished_result(voxels, full, done)

    def _process_volume(self, program, source, dest, folder):
        """Run the engine; returns its `done` event."""
        arguments = self._request.for_volume(source, dest, self._blends)
        done, reason = None, ""
        for event, line in self._lines(program, arguments, str(folder)):
            kind = event.get("event")
            if kind == "progress":
                self._progress(event["done"], event["total"])
            elif kind == "done":
                done = event
            elif kind == "failed" or (kind == "skip" and event.get("problem")):
                reason = event["reason"]
            elif not kind:
                self._log.put(line)
        status = self._process.finish()
        for line in self._process.errors:
            self._log.put(line)
        self._go_on()
        if status != 0 or done is None:
            raise explain(status, reason, list(self._process.errors))
        return done

    def _progress(self, done, total):
        self.stage = _("enhancing")
        self.done, self.total = done, total
        if self._first_slices is None:
            self._first_slices = (time.monotonic(), done)

    def _finished_result(self, voxels, full, done):
        self.stage = _("preparing the comparison")
        factors = tuple(int(n) // int(m) for n, m in zip(full.shape, voxels.shape))
        base = voxels if factors == (1, 1, 1) else finer(voxels, factors, self._go_on)
        kept = self._wanted.inside(self._outer, factors)
        base, full = (np.ascontiguousarray(x[kept.slices]) for x in (base, full))
        facts = done["facts"]
        at = float(facts["strength"])
        # At strength 0 there is nothing to blend: both ends are the same.
        integral = self._voxels.dtype.kind in "iu" or voxels.dtype.kind == "i"
        blend = Blend(base, full if at > 0 else base, at or 1.0, np.int16 if integral else np.float32)
        affine = finer_affine(cropped_affine(self._affine, self._wanted), factors)
        strength = at if self._request.solved or not self._blends else self._request.strength
        self._go_on()
        shown = blend.slab(strength, 0, blend.shape[0])
        return Result(blend, self._blends, strength, shown, affine, factors, facts, list(done["warnings"]))


def as_transferred(voxels, exact):
    """The voxels as the engine gets them: int16 where that loses nothing, else float32.

    Args:
        voxels: numbers of any type.
        exact: whether the result is to come without rounding: then always float32.

    Raises:
        EngineProblem: if a value is not finite.
    """
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        why = _("has voxels that are not finite numbers")
        raise EngineProblem(_("input volume"), why, _("replace them by -1024, for example with Simple Filters"))
    limits = np.iinfo(np.int16)
    fits = voxels.dtype == np.int16 or (
        voxels.min() >= limits.min and voxels.max() <= limits.max and _whole_numbers(voxels)
    )
    return voxels.astype(np.int16 if fits and not exact else np.float32, copy=False)


def _whole_numbers(voxels):
    return voxels.dtype.kind in "iu" or all(bool((plane == np.rint(plane)).all()) for plane in voxels)
