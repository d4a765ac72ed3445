"""From folders of normal-dose scans to the cache that training reads: which scans, which slices, which noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med_stylesr.engines.pair_cache import cache_scan, random_draws
from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.dicom_read import read_slices
from med_stylesr.io.names import safe_component
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import find_inputs

_SCAN_KEYS = {"folder", "slices", "every", "offset", "limit"}
_PLAN_KEYS = {"scans", "doses", "own_kernel", "seed"}


@dataclass(frozen=True)
class PlannedScan:
    """One scan of a plan.

    Attributes:
        name: its name in the cache.
        series: where it is.
        start: first slice taken.
        stop: slice after the last one taken.
        draw_seed: decides on the kernels of its noise.
        noise_seed: decides on the noise itself.
    """

    name: str
    series: DicomSeries
    start: int
    stop: int
    draw_seed: int
    noise_seed: int


def prepare(plan_file: Path, root: Path, cache: Path, told: Callable[[str], None]) -> None:
    """Simulate noise for every scan of a plan; scans that are in the cache already are skipped.

    Args:
        plan_file: JSON with `scans` (each a `folder` below `root`, optionally `slices` [first, after last]; for folders
            of many series `every`, `offset` and `limit`), `doses` (one draw each), `own_kernel` (how many draws keep
            the scan's own texture) and `seed`.
        root: folder of the scans.
        cache: where the cache goes.
        told: receives a line a scan.

    Raises:
        UsageError: for a plan with unknown or missing keys, or a folder that is not there.
        InputError: for slices that a scan does not have.
    """
    plan = _read(plan_file)
    for scan in _scans(plan, root):
        draws = random_draws(plan["doses"], plan["own_kernel"], scan.draw_seed)
        hu = read_slices(scan.series, scan.start, scan.stop)
        told(f"{scan.name}: {len(hu)} slices, {len(draws)} draws")
        cache_scan(scan.name, hu, scan.series.grid.spacing_mm, scan.series.thickness_mm, draws, cache, scan.noise_seed)


def planned_scans(plan_file: Path, root: Path) -> Iterator[PlannedScan]:
    """Scans of a plan, in its order.

    Args:
        plan_file: see `prepare`.
        root: folder of the scans.

    Raises:
        UsageError: for a plan with unknown or missing keys, or a folder that is not there.
        InputError: for slices that a scan does not have.
    """
    return _scans(_read(plan_file), root)


def _read(plan_file: Path) -> dict[str, Any]:
    try:
        plan = json.loads(plan_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(str(plan_file), f"cannot be read as a JSON plan ({error})") from error
    if not isinstance(plan, dict) or set(plan) != _PLAN_KEYS:
        raise UsageError(str(plan_file), f"a plan has exactly the keys {', '.join(sorted(_PLAN_KEYS))}")
    for scan in plan["scans"]:
        if "folder" not in scan or set(scan) - _SCAN_KEYS:
            raise UsageError(str(plan_file), f"a scan has a folder and may have {', '.join(sorted(_SCAN_KEYS))}")
    return plan


def _scans(plan: dict[str, Any], root: Path) -> Iterator[PlannedScan]:
    for number, scan in enumerate(plan["scans"]):
        folder = root / scan["folder"]
        with find_inputs(folder) as inputs:
            series = sorted(inputs.series, key=lambda one: str(one.files[0].path))
            chosen = series[scan.get("offset", 0) :: scan.get("every", 1)][: scan.get("limit")]
            for one in chosen:
                start, stop = scan.get("slices", [0, len(one)])
                if not 0 <= start < stop <= len(one):
                    raise InputError(str(folder), f"has {len(one)} slices, not {start} to {stop}")
                stem = folder.name if len(series) == 1 else f"{folder.name}_{one.files[0].path.stem}"
                place, seed = series.index(one), plan["seed"]
                seeds = seed + 100 * number + place, seed + 1000 * number + 10 * place
                yield PlannedScan(safe_component(stem, "scan"), one, start, stop, *seeds)
