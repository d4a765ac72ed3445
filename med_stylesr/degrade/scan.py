"""A whole scan at a lower dose and resolution: noise first, as the scanner would, then thicker slices and pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from med_stylesr.degrade.calibration import USUAL_MODULATION, NoFlatTissueError, calibrate
from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS
from med_stylesr.degrade.limits import LEAST_DOSE, MOST_ELECTRONIC, PHOTONS, check_fit
from med_stylesr.degrade.resolution import AxisSampling, Profile, ResolutionOperator, reduce_resolution
from med_stylesr.degrade.storage import as_stored
from med_stylesr.degrade.texture import flat_regions, measure
from med_stylesr.errors import InputError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.volume import CTVolume

AUTO = "auto"
_SLAB = 16


@dataclass(frozen=True)
class DegradationPlan:
    """What to make of a scan.

    Attributes:
        dose_fraction: target dose as a share of the scan's own, in [1e-4, 1]; 1 adds no noise.
        thickness_mm: target slice thickness, or None to keep it.
        step_mm: target slice spacing, or None for the thickness.
        profile: slice profile.
        pixel_mm: target pixel size, or None to keep it.
        psf_fwhm_mm: FWHM of the in-plane point spread, or None for the target pixel size.
        seed: of the noise.
        scanner: a name of `geometry.SCANNERS`.
        i0_photons: photons a ray of the scan as it is, 100 … 1e9, or None to calibrate on its noise.
        kernel: a name of `kernel.KERNELS`, or "auto" to match the scan's noise spectrum.
        electronic_sd: electronic noise in photons, at most 1e4.
        tube_current_modulation: exponent of in-plane modulation, 0 for constant current, or None to match the streaks
            of the scan's noise (the usual 0.5 where `i0_photons` is given, so that nothing is measured).

    Raises:
        UsageError: for values that no scan can be degraded with.
    """

    dose_fraction: float
    thickness_mm: float | None
    step_mm: float | None
    profile: Profile
    pixel_mm: float | None
    psf_fwhm_mm: float | None
    seed: int
    scanner: str
    i0_photons: float | None
    kernel: str
    electronic_sd: float
    tube_current_modulation: float | None

    def __post_init__(self) -> None:
        if not 0 < self.dose_fraction <= 1:
            raise UsageError(f"--dose {self.dose_fraction:g}", "is no share of the scan's dose", "use 0 < dose <= 1")
        if self.dose_fraction < LEAST_DOSE:
            raise UsageError(f"--dose {self.dose_fraction:g}", "leaves no photons", f"use {LEAST_DOSE:g} or more")
        for name in ("thickness_mm", "step_mm", "pixel_mm", "psf_fwhm_mm", "i0_photons"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"--{name.split('_')[0]} {value:g}", "is not a positive number", "give one")
        if self.i0_photons is not None and not PHOTONS[0] <= self.i0_photons <= PHOTONS[1]:
            todo = f"use {PHOTONS[0]:g} … {PHOTONS[1]:g} (usual: 1e5 … 1e6)"
            raise UsageError(f"--i0 {self.i0_photons:g}", "is no number of photons that a scanner counts", todo)
        if self.step_mm is not None and self.thickness_mm is None:
            raise UsageError("--step", "says nothing without a slice thickness", "give --thickness too")
        if self.step_mm is not None and self.thickness_mm is not None and self.step_mm > self.thickness_mm:
            raise UsageError(f"--step {self.step_mm:g}", "leaves gaps between slices", "use at most --thickness")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}", "is negative", "use 0 or more")
        if self.scanner not in SCANNERS:
            raise UsageError(f"--scanner {self.scanner}", "is not known", f"use one of {', '.join(SCANNERS)}")
        if self.kernel != AUTO and self.kernel not in KERNELS:
            raise UsageError(f"--kernel {self.kernel}", "is not known", f"use auto or one of {', '.join(KERNELS)}")
        if self.kernel == AUTO and self.i0_photons is not None:
            raise UsageError("--i0", "cannot be combined with matching the kernel", "name a --kernel too")
        if not 0 <= self.electronic_sd <= MOST_ELECTRONIC:
            what, todo = f"--electronic-noise {self.electronic_sd:g}", f"use 0 … {MOST_ELECTRONIC:g}"
            raise UsageError(what, "is no number of photons that electronics make", todo)
        modulation = self.tube_current_modulation
        if modulation is not None and not 0 <= modulation <= 1:
            raise UsageError(
                f"--tube-current-modulation {modulation:g}", "is out of range", "use 0 … 1, or leave it out"
            )
        if self.dose_fraction == 1 and self.thickness_mm is None and self.pixel_mm is None:
            raise UsageError(
                "nothing to do", "neither dose nor resolution is lowered", "give --dose, --thickness or --pixel"
            )


@dataclass(frozen=True)
class DegradedScan:
    """The result.

    Attributes:
        volume: HU on the new grid.
        sources: for each output slice, the input slices it was made of.
        facts: JSON-able record: dose, photons, kernel, seed, noise before and after, grids.
    """

    volume: CTVolume
    sources: list[list[int]]
    facts: dict[str, Any]


def degrade_scan(
    volume: CTVolume,
    thickness_mm: float | None,
    plan: DegradationPlan,
    device: torch.device,
    name: str,
    progress: Callable[[int, int], None],
) -> DegradedScan:
    """Lower dose and resolution of one scan.

    Args:
        volume: the scan.
        thickness_mm: its slice thickness, or None if unknown (taken for the spacing).
        plan: what to do.
        device: where to compute.
        name: what messages call the scan.
        progress: told (slices done, slices) while noise is made.

    Raises:
        InputError: if the scan has no square pixels, no axial slices, too little flat tissue to calibrate on, or slices
            that the wanted ones cannot be made of; and as `limits.check_fit`.
    """
    grid = volume.grid
    _check_geometry(volume, plan, name)
    check_fit(grid, thickness_mm, plan, name)
    hu = torch.from_numpy(np.asarray(volume.hu, dtype=np.float32)).to(device)
    spacing = (grid.plane_distance_mm, *grid.spacing_mm[1:])
    facts: dict[str, Any] = {"plan": asdict(plan)}
    operator = _operator(spacing, plan, name)
    try:
        result_grid = grid if operator is None else operator.grid(grid)
    except ValueError as error:
        raise InputError(name, str(error), "ask for thinner slices or smaller pixels") from error
    if plan.dose_fraction < 1:
        hu, noise_facts = _with_noise(hu, spacing, thickness_mm, plan, name, progress)
        facts |= noise_facts
    sources = [[k] for k in range(len(hu))] if operator is None else _sources(operator, len(hu))
    if operator is not None:
        hu = reduce_resolution(hu, operator)
    facts["grid"] = {"shape": list(result_grid.shape), "spacing_mm": [round(s, 6) for s in result_grid.spacing_mm]}
    facts["thickness_mm"] = plan.thickness_mm or thickness_mm
    moved = None if operator is None else result_grid.affine
    return DegradedScan(volume.with_hu(hu.cpu().numpy(), moved, degraded=facts), sources, facts)


def _with_noise(
    hu: Tensor,
    spacing_mm: tuple[float, ...],
    thickness_mm: float | None,
    plan: DegradationPlan,
    name: str,
    progress: Callable[[int, int], None],
) -> tuple[Tensor, dict[str, Any]]:
    """The scan with the noise of the target dose, and the record of it. Padding stays as it is."""
    detector = DetectorModel(electronic_sd=plan.electronic_sd)
    simulator = LowDoseSimulator(SCANNERS[plan.scanner], detector)
    kernel = None if plan.kernel == AUTO else KERNELS[plan.kernel]
    if plan.i0_photons is not None and kernel is not None:
        modulation = USUAL_MODULATION if plan.tube_current_modulation is None else plan.tube_current_modulation
        calibration = Calibration(plan.i0_photons, kernel, tube_current_modulation=modulation)
    else:
        try:
            calibration = calibrate(
                simulator, hu, spacing_mm, kernel=kernel, tube_current_modulation=plan.tube_current_modulation
            )
        except NoFlatTissueError as error:
            raise InputError(name, str(error), "give --i0 and --kernel") from error
    noisy = torch.empty_like(hu)
    for start in range(0, len(hu), _SLAB):
        slab = hu[start : start + _SLAB]
        added = simulator.noise(
            slab,
            spacing_mm,
            plan.dose_fraction,
            calibration,
            seed=plan.seed,
            thickness_mm=thickness_mm,
            first_slice=start,
        )
        noisy[start : start + _SLAB] = as_stored(slab, added)
        progress(start + len(slab), len(hu))
    facts: dict[str, Any] = {
        "dose_fraction": plan.dose_fraction,
        "i0_photons": round(calibration.i0_photons, 1),
        "tube_current_modulation": round(calibration.tube_current_modulation, 3),
        "kernel": {
            "name": calibration.kernel.name,
            "frequency_per_mm": [round(f, 4) for f in calibration.kernel.frequency_per_mm],
            "response": [round(a, 4) for a in calibration.kernel.response],
        },
        "seed": plan.seed,
    }
    regions = flat_regions(hu)
    if len(regions):
        before, after = (measure(stack, spacing_mm[2], regions).noise_sd_hu for stack in (hu, noisy))
        facts |= {
            "noise_sd_before_hu": round(before, 2),
            "noise_sd_after_hu": round(after, 2),
            "noise_sd_expected_hu": round(before / math.sqrt(plan.dose_fraction), 2),
        }
    return noisy, facts


def _operator(spacing_mm: tuple[float, ...], plan: DegradationPlan, name: str) -> ResolutionOperator | None:
    through = in_plane = None
    try:
        if plan.thickness_mm is not None:
            step = plan.step_mm or plan.thickness_mm
            through = AxisSampling(spacing_mm[0], step, plan.thickness_mm, plan.profile, inside=True)
        if plan.pixel_mm is not None:
            if plan.pixel_mm < spacing_mm[2]:
                raise ValueError(f"pixels of {spacing_mm[2]:.3g} mm cannot be made {plan.pixel_mm:g} mm small")
            width = plan.psf_fwhm_mm or plan.pixel_mm
            in_plane = AxisSampling(spacing_mm[2], plan.pixel_mm, width, "smooth", inside=False)
    except ValueError as error:
        raise InputError(name, str(error), "ask for a lower resolution than the scan has") from error
    return ResolutionOperator((through, in_plane, in_plane)) if through or in_plane else None


def _sources(operator: ResolutionOperator, slices: int) -> list[list[int]]:
    through = operator.axes[0]
    if through is None:
        return [[k] for k in range(slices)]
    matrix = through.matrix(slices, torch.zeros(0, dtype=torch.float64))
    return [torch.nonzero(row > 1e-3).flatten().tolist() for row in matrix]


def _check_geometry(volume: CTVolume, plan: DegradationPlan, name: str) -> None:
    grid: VoxelGrid = volume.grid
    _, row_mm, column_mm = grid.spacing_mm
    if not math.isclose(row_mm, column_mm, rel_tol=1e-3):
        raise InputError(name, f"pixels are not square ({row_mm:.3g} x {column_mm:.3g} mm)", "resample it first")
    if plan.dose_fraction < 1 and abs(grid.normal[2]) < 0.7:
        raise InputError(name, "slices are not axial, so rays do not lie in them", "give the axial slices")
    if plan.thickness_mm is not None and (not volume.evenly_spaced or grid.is_sheared):
        what = "unevenly spaced" if not volume.evenly_spaced else "tilted against their stack"
        raise InputError(name, f"slices are {what}, so thicker ones cannot be made", "leave --thickness out")
