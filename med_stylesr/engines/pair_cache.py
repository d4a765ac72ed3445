"""Cached training scans: a scan in HU and several realisations of the noise that lower doses would add to it.

Simulation costs half a second a slice and realisation, a training step a tenth: so noise is made once, and training
scales it to any dose (variance of inserted noise ∝ 1/d − 1).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from med_stylesr.degrade.calibration import USUAL_MODULATION, NoFlatTissueError, calibrate
from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS, ReconstructionKernel
from med_stylesr.errors import InputError

STORED_PER_HU: Final = 8
"""Noise is stored as int16 in steps of an eighth HU."""
SIMULATOR: Final = 2
"""Counts up with whatever changes the noise that a plan gives, so that no cache holds two kinds."""
FALLBACK_I0: Final = 2e5
"""Photons a ray for scans without flat tissue to calibrate on; middle of the published 1e5 … 1e6 at full dose."""


@dataclass(frozen=True)
class NoiseDraw:
    """One realisation of inserted noise.

    Attributes:
        dose_fraction: dose it was simulated at.
        f50_per_mm: roll-off of a kernel of its own, or None for the scan's own texture.
        order: steepness of that roll-off.
        boost: its edge enhancement.
    """

    dose_fraction: float
    f50_per_mm: float | None = None
    order: float = 3.0
    boost: float = 0.0


@dataclass(frozen=True)
class CachedScan:
    """A scan of the cache, memory-mapped.

    Attributes:
        name: its name.
        hu: (slices, rows, columns) int16.
        noise: (draws, slices, rows, columns) int16, in 1/`STORED_PER_HU` HU.
        doses: dose fraction of each draw.
        spacing_mm: slice, row, column.
    """

    name: str
    hu: NDArray[np.int16]
    noise: NDArray[np.int16]
    doses: tuple[float, ...]
    spacing_mm: tuple[float, float, float]


def random_draws(doses: Sequence[float], own_kernel: int, seed: int) -> list[NoiseDraw]:
    """One draw per dose: the first `own_kernel` in the scan's own texture, the others from soft to sharp at random."""
    rng = np.random.default_rng(seed)
    draws = [NoiseDraw(dose) for dose in doses[:own_kernel]]
    for dose in doses[own_kernel:]:
        f50 = float(np.exp(rng.uniform(math.log(0.2), math.log(0.75))))
        boost = float(rng.uniform(0, 2)) if f50 > 0.45 else 0.0
        draws.append(NoiseDraw(dose, round(f50, 3), round(float(rng.uniform(2, 3.5)), 2), round(boost, 2)))
    return draws


def cache_scan(
    name: str,
    hu: NDArray[Any],
    spacing_mm: tuple[float, float, float],
    thickness_mm: float | None,
    draws: Sequence[NoiseDraw],
    folder: Path,
    seed: int,
) -> None:
    """Simulate the draws for one scan and store it as `folder/name.{json,hu.npy,noise.npy}`; skipped if it is there.

    Args:
        name: file name without ending.
        hu: (slices, rows, columns) HU.
        spacing_mm: slice, row, column.
        thickness_mm: SliceThickness, or None if unknown.
        draws: noise to make.
        folder: the cache.
        seed: of the first draw; the others count up from it.

    Raises:
        InputError: if it is there, but damaged or of another version of the simulator.
    """
    record = folder / f"{name}.json"
    if record.is_file():
        _require_same_simulator(record)
        return
    folder.mkdir(parents=True, exist_ok=True)
    simulator = LowDoseSimulator(SCANNERS["ge-lightspeed"], DetectorModel())
    scan = torch.from_numpy(np.ascontiguousarray(hu, dtype=np.float32))
    try:
        own = calibrate(simulator, scan, spacing_mm)
        calibrated = True
    except NoFlatTissueError:
        own = Calibration(FALLBACK_I0, KERNELS["standard"], tube_current_modulation=USUAL_MODULATION)
        calibrated = False
    noise = np.lib.format.open_memmap(
        folder / f"{name}.noise.npy", mode="w+", dtype=np.int16, shape=(len(draws), *hu.shape)
    )
    for i, draw in enumerate(draws):
        how = own
        if draw.f50_per_mm is not None:
            kernel = ReconstructionKernel.rolled_off(draw.f50_per_mm, draw.order, draw.boost)
            how = own.with_kernel(kernel, simulator.geometry)
        added = simulator.noise(scan, spacing_mm, draw.dose_fraction, how, seed=seed + i, thickness_mm=thickness_mm)
        noise[i] = (added * STORED_PER_HU).round().clamp(-32768, 32767).to(torch.int16).numpy()
    noise.flush()
    np.save(folder / f"{name}.hu.npy", np.rint(hu).astype(np.int16))
    facts = {
        "spacing_mm": spacing_mm,
        "thickness_mm": thickness_mm,
        "i0_photons": own.i0_photons,
        "simulator": SIMULATOR,
        "tube_current_modulation": own.tube_current_modulation,
        "noise_sd_hu": own.noise_sd_hu if calibrated else None,
        "kernel": own.kernel.name,
        "seed": seed,
        "draws": [asdict(draw) for draw in draws],
    }
    record.write_text(json.dumps(facts, indent=1))


def _require_same_simulator(record: Path) -> None:
    try:
        same = json.loads(record.read_text())["simulator"] == SIMULATOR
    except KeyError:
        same = False
    except (OSError, ValueError, TypeError) as error:
        raise InputError(str(record), f"cannot be read: {error}", "delete it and prepare again") from error
    if not same:
        why = "was made by another version of the simulator"
        raise InputError(str(record), why, f"delete {record.parent} or prepare another folder")


def open_cache(folder: str | Path, names: Sequence[str] | None = None) -> list[CachedScan]:
    """Scans of a cache, memory-mapped, in the order of their names.

    Args:
        folder: the cache.
        names: which scans; all if left out.

    Raises:
        InputError: if a scan is missing or the cache is empty.
    """
    scans = list(_open(Path(folder), names))
    if not scans:
        raise InputError(str(folder), "holds no cached training scans", "run `med-stylesr data prepare` first")
    return scans


def _open(folder: Path, names: Sequence[str] | None) -> Iterator[CachedScan]:
    wanted = sorted(p.stem for p in folder.glob("*.json")) if names is None else names
    for name in wanted:
        try:
            facts = json.loads((folder / f"{name}.json").read_text())
            hu = np.load(folder / f"{name}.hu.npy", mmap_mode="r")
            noise = np.load(folder / f"{name}.noise.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(str(folder / name), f"is not in the cache: {error}", "prepare it again") from error
        dz, dy, dx = facts["spacing_mm"]
        yield CachedScan(name, hu, noise, tuple(d["dose_fraction"] for d in facts["draws"]), (dz, dy, dx))
