"""Scans with a time axis (cine, perfusion): frames in order, under one strength, with their flicker measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import UsageError
from med_stylesr.inference.enhancer import Enhancer
from med_stylesr.inference.request import EnhanceOptions
from med_stylesr.inference.slices import ArraySlices
from med_stylesr.inference.strength import StrengthPlan
from med_stylesr.io.nifti_frames import NiftiFrames, frames_file
from med_stylesr.io.publish import staged_file
from med_stylesr.io.volume_file import volume_ending
from med_stylesr.service.manifest import DONE, Entry, Manifest
from med_stylesr.service.settings import EnhanceSettings
from med_stylesr.service.workers import load_enhancer

BODY_HU: Final = (-200.0, 300.0)
"""Flicker is measured here: soft tissue of both frames, where neither air nor bone edges move."""
_PER_FRAME: Final = 1.4826 / np.sqrt(2.0)
"""Standard deviation of one frame per median absolute difference of two, for normal noise."""

Hu = NDArray[Any]


@dataclass
class Flicker:
    """What changes from frame to frame, before and after.

    The medians of differences tell noise; the mean of a frame's correction tells brightness, which is what an eye sees
    pulse. Real change (contrast agent, breath) is in both, before and after.
    """

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)
    _last: tuple[Hu, Hu] | None = None

    def add(self, before: Hu, after: Hu) -> None:
        """One more frame: HU on one grid."""
        body = (before > BODY_HU[0]) & (before < BODY_HU[1])
        if self._last is not None:
            old_before, old_after = self._last
            both = body & (old_before > BODY_HU[0]) & (old_before < BODY_HU[1])
            if both.any():
                self.before.append(float(np.median(np.abs(before[both] - old_before[both])) * _PER_FRAME))
                self.after.append(float(np.median(np.abs(after[both] - old_after[both])) * _PER_FRAME))
        if body.any():
            self.brightness.append(float((after[body] - before[body]).mean(dtype=np.float64)))
        self._last = before, after

    def facts(self) -> dict[str, float | None]:
        """JSON-able record: HU of noise from frame to frame, and spread of the frames' mean change."""
        return {
            "frame_to_frame_before_hu": _mean(self.before),
            "frame_to_frame_after_hu": _mean(self.after),
            "brightness_added_hu": round(float(np.std(self.brightness)), 4) if self.brightness else None,
        }


def stream_file(source: Path, dest: Path, settings: EnhanceSettings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Enhance a NIfTI file with a time axis into DEST, frame by frame.

    The strength is decided on the first frame and kept, so that no frame is smoothed more than the next.

    Args:
        source: the file.
        dest: folder for the result and its manifest.
        settings: what to do; report, uncertainty and de-identification are not offered here.
        tell: told a line after every frame.

    Returns:
        The facts of the manifest's entry.

    Raises:
        UsageError: if SOURCE is no NIfTI file or a setting does not fit.
        InputError: if a frame cannot be read or the result not be written.
    """
    if volume_ending(source) not in (".nii", ".nii.gz"):
        why = "streams are NIfTI files with a time axis"
        raise UsageError(str(source), why, "leave --stream out: phases of a DICOM series are done one by one")
    options = settings.options
    if options.uncertainty or options.safe or settings.deidentify or settings.spacing_mm:
        why = "takes neither --uncertainty nor --safe, --spacing or --deidentify"
        raise UsageError("--stream", why, "leave them out")
    frames = NiftiFrames(source)
    enhancer = load_enhancer(settings)
    manifest = Manifest(dest, "enhance", {"source": str(source), "stream": True, **settings.record()})
    path = dest / source.name
    began, flicker, plan, slices = time.monotonic(), Flicker(), None, 0
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    with staged_file(path, settings.overwrite) as partial:
        first = frames.frame(0)
        grid = first.grid.super_resolved(options.scale)
        # The temporary name need not end like the final one.
        named = partial.with_name(partial.name + volume_ending(source))
        try:
            with frames_file(named, grid, frames.count, frames.seconds) as append:
                for t in range(frames.count):
                    volume = first if t == 0 else frames.frame(t)
                    hu, plan, told, warned = _enhanced(volume.hu, volume.spacing_mm, enhancer, options, plan)
                    facts, warnings = (told, warned) if t == 0 else (facts, warnings)
                    append(hu)
                    flicker.add(volume.hu.astype(np.float32), _averaged(hu, options.scale))
                    slices += len(hu)
                    rate = slices / (time.monotonic() - began)
                    tell(f"frame {t + 1}/{frames.count}: {rate:.1f} slices/s")
            named.replace(partial)
        finally:
            named.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    facts = {
        "shape": [int(n) for n in grid.shape],
        "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm],
        **facts,
        "frames": frames.count,
        "slices_per_second": round(slices / seconds, 2),
        "flicker": flicker.facts(),
    }
    manifest.set(
        Entry(
            str(source.name),
            "volume",
            DONE,
            outputs=[path.name],
            facts=facts,
            warnings=warnings,
            seconds=round(seconds, 2),
        )
    )
    return facts


def _enhanced(
    hu: Hu,
    spacing_mm: tuple[float, float, float],
    enhancer: Enhancer,
    options: EnhanceOptions,
    plan: StrengthPlan | None,
) -> tuple[Hu, StrengthPlan, dict[str, Any], list[str]]:
    enhancement = enhancer.open(ArraySlices(hu), spacing_mm, options, plan)
    result = np.concatenate([slab for _, slab in enhancement.slabs()])
    return result, enhancement.plan, enhancement.facts(), enhancement.warnings()


def _averaged(hu: Hu, scale: tuple[int, int, int]) -> Hu:
    """The result on the grid of the input."""
    (sz, sy, sx), (slices, rows, columns) = scale, hu.shape
    blocks = hu.reshape(slices // sz, sz, rows // sy, sy, columns // sx, sx)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None
