"""MONAI transforms over `med_stylesr.degrade`: volumes (1, slices, rows, columns) in HU, spacing from their affine."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable, RandomizableTransform, Transform
from torch import Tensor

from med_stylesr.degrade.calibration import USUAL_MODULATION, NoFlatTissueError, calibrate
from med_stylesr.degrade.dose import Calibration, DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.degrade.kernel import KERNELS, ReconstructionKernel
from med_stylesr.degrade.resolution import Profile, ResolutionOperator, motion_blur, reduce_resolution
from med_stylesr.degrade.storage import as_stored
from med_stylesr.geometry import VoxelGrid, lps_to_ras
from med_stylesr.hu import HU_MIN

_LARGEST_SEED: Final = 2**31 - 1


class SimulateLowDose(Randomizable, Transform):
    """Add the noise of a lower dose; see `med_stylesr.degrade.dose.LowDoseSimulator`.

    Args:
        dose_fraction: target dose as a share of the scan's own, in (0, 1].
        scanner: a name of `geometry.SCANNERS`.
        kernel: a name of `kernel.KERNELS`, or None to match the scan's own noise spectrum.
        i0_photons: photons a ray of the scan as it is, or None to calibrate on its noise.
        fallback_i0_photons: used, with the kernel "standard" where none is named, for scans with too little flat tissue
            to calibrate on (small crops).
        electronic_sd: electronic noise in photons.
        thickness_mm: slice thickness, or None for the spacing.
    """

    def __init__(
        self,
        dose_fraction: float,
        scanner: str,
        kernel: str | None,
        i0_photons: float | None,
        fallback_i0_photons: float,
        electronic_sd: float,
        thickness_mm: float | None,
    ) -> None:
        self.dose_fraction, self.thickness_mm = dose_fraction, thickness_mm
        self.kernel = None if kernel is None else KERNELS[kernel]
        self.i0_photons, self.fallback_i0_photons = i0_photons, fallback_i0_photons
        self.simulator = LowDoseSimulator(SCANNERS[scanner], DetectorModel(electronic_sd=electronic_sd))

    def __call__(self, image: Any) -> Any:
        """The image at the lower dose; every call draws new noise from the transform's random state."""
        self.randomize(None)
        return self.at_dose(image, self.dose_fraction, None, int(self.R.randint(_LARGEST_SEED)))

    def randomize(self, data: Any) -> None:
        """Nothing is drawn but the seed of each call."""

    def at_dose(self, image: Any, dose_fraction: float, kernel: ReconstructionKernel | None, seed: int) -> Any:
        """The image at any dose, its inserted noise in the texture of `kernel` if one is given."""
        volume, spacing = _volume(image)
        calibration = self._calibration(volume, spacing)
        if kernel is not None:
            calibration = calibration.with_kernel(kernel, self.simulator.geometry)
        added = self.simulator.noise(
            volume, spacing, dose_fraction, calibration, seed=seed, thickness_mm=self.thickness_mm
        )
        return _like(image, as_stored(volume, added))

    def _calibration(self, volume: Tensor, spacing_mm: Sequence[float]) -> Calibration:
        if self.i0_photons is not None:
            return self._uncalibrated(self.i0_photons)
        try:
            return calibrate(self.simulator, volume, spacing_mm, kernel=self.kernel)
        except NoFlatTissueError:
            return self._uncalibrated(self.fallback_i0_photons)

    def _uncalibrated(self, photons: float) -> Calibration:
        return Calibration(photons, self.kernel or KERNELS["standard"], tube_current_modulation=USUAL_MODULATION)


class SimulateThickSlices(Transform):
    """Average thin slices to thick ones by their slice profile; the affine follows.

    Args:
        thickness_mm: slice thickness to make.
        step_mm: slice spacing to make.
        profile: "rectangular" or "smooth".
    """

    def __init__(self, thickness_mm: float, step_mm: float, profile: Profile) -> None:
        self.thickness_mm, self.step_mm, self.profile = thickness_mm, step_mm, profile

    def __call__(self, image: Any) -> Any:
        """The image with thick slices."""
        volume, spacing = _volume(image)
        operator = ResolutionOperator.thick_slices(spacing[0], self.thickness_mm, self.step_mm, self.profile)
        return _reduced(image, volume, operator)


class RandDegrade(RandomizableTransform):
    """Degrade at random: dose, kernel, slice thickness, pixel size, motion; all of it from the transform's seed.

    Args:
        prob: probability that anything is done.
        low_dose: how noise is made; its dose is replaced by the drawn one.
        dose_range: dose fractions, drawn evenly in their logarithm.
        own_kernel_prob: probability that noise keeps the scan's own texture.
        f50_range_per_mm: roll-off of other kernels, drawn evenly in its logarithm.
        boost_range: edge enhancement of other kernels.
        thickness_factors: slices averaged to one (whole numbers), drawn evenly.
        pixel_factors: pixels of the input per pixel of the output (whole numbers), drawn evenly.
        motion_range_px: length of a motion-like blur.
        motion_prob: its probability.
    """

    def __init__(
        self,
        prob: float,
        low_dose: SimulateLowDose,
        dose_range: tuple[float, float],
        own_kernel_prob: float,
        f50_range_per_mm: tuple[float, float],
        boost_range: tuple[float, float],
        thickness_factors: Sequence[int],
        pixel_factors: Sequence[int],
        motion_range_px: tuple[float, float],
        motion_prob: float,
    ) -> None:
        RandomizableTransform.__init__(self, prob)
        self.low_dose, self.dose_range, self.own_kernel_prob = low_dose, dose_range, own_kernel_prob
        self.f50_range_per_mm, self.boost_range = f50_range_per_mm, boost_range
        self.thickness_factors, self.pixel_factors = list(thickness_factors), list(pixel_factors)
        self.motion_range_px, self.motion_prob = motion_range_px, motion_prob

    def randomize(self, data: Any) -> None:
        """Draw what `__call__` does; each number is drawn every time, so that one setting does not shift the others."""
        super().randomize(None)
        self.dose = math.exp(self.R.uniform(*np.log(self.dose_range)))
        own = self.R.uniform() < self.own_kernel_prob
        f50 = math.exp(self.R.uniform(*np.log(self.f50_range_per_mm)))
        order, boost = self.R.uniform(2.0, 3.5), self.R.uniform(*self.boost_range)
        self.kernel = None if own else ReconstructionKernel.rolled_off(f50, order, boost)
        self.slices = int(self.R.choice(self.thickness_factors))
        self.pixels = int(self.R.choice(self.pixel_factors))
        moves, length = self.R.uniform() < self.motion_prob, self.R.uniform(*self.motion_range_px)
        self.motion_px, self.motion_rad = (length if moves else 0.0), self.R.uniform(0, math.pi)
        self.seed = int(self.R.randint(_LARGEST_SEED))

    def __call__(self, image: Any, randomize: bool = True) -> Any:
        """The degraded image, or the image itself."""
        if randomize:
            self.randomize(None)
        if not self._do_transform:
            return image
        volume, _ = _volume(image)
        moved = _like(image, torch.where(volume < HU_MIN, volume, motion_blur(volume, self.motion_px, self.motion_rad)))
        noisy = self.low_dose.at_dose(moved, self.dose, self.kernel, self.seed)
        volume, spacing = _volume(noisy)
        operator = ResolutionOperator((None, None, None))
        if self.slices > 1:
            width = spacing[0] * self.slices
            operator = ResolutionOperator.thick_slices(spacing[0], width, width)
        if self.pixels > 1:
            pixel = spacing[2] * self.pixels
            in_plane = ResolutionOperator.coarse_pixels(spacing[2], pixel, pixel)
            operator = ResolutionOperator((operator.axes[0], in_plane.axes[1], in_plane.axes[2]))
        return _reduced(noisy, volume, operator)


class _SeededDictionary(Randomizable, MapTransform):
    """Dictionary version of a transform that draws: seeded, it seeds the transform."""

    transform: Randomizable

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Any:
        """Seed everything that is drawn."""
        self.transform.set_random_state(seed, state)
        return super().set_random_state(seed, state)


class SimulateLowDosed(_SeededDictionary):
    """Dictionary version of `SimulateLowDose`; all keys of one call share their noise.

    Args:
        keys: volumes to degrade.
        transform: the array transform.
        allow_missing_keys: whether absent keys are passed over.
    """

    transform: SimulateLowDose

    def __init__(self, keys: KeysCollection, transform: SimulateLowDose, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The mapping with degraded volumes."""
        seed = int(self.transform.R.randint(_LARGEST_SEED))
        return _each(self, data, lambda x: self.transform.at_dose(x, self.transform.dose_fraction, None, seed))


class SimulateThickSlicesd(MapTransform):
    """Dictionary version of `SimulateThickSlices`.

    Args:
        keys: volumes to degrade.
        transform: the array transform.
        allow_missing_keys: whether absent keys are passed over.
    """

    def __init__(self, keys: KeysCollection, transform: SimulateThickSlices, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The mapping with thick slices."""
        return _each(self, data, self.transform)


class RandDegraded(_SeededDictionary):
    """Dictionary version of `RandDegrade`; all keys of one call are degraded alike.

    Args:
        keys: volumes to degrade.
        transform: the array transform.
        allow_missing_keys: whether absent keys are passed over.
    """

    transform: RandDegrade

    def __init__(self, keys: KeysCollection, transform: RandDegrade, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The mapping with degraded volumes."""
        self.transform.randomize(None)
        return _each(self, data, lambda x: self.transform(x, randomize=False))


def _each(transform: MapTransform, data: Mapping[Hashable, Any], function: Callable[[Any], Any]) -> dict[Hashable, Any]:
    changed = dict(data)
    for key in transform.key_iterator(changed):
        changed[key] = function(changed[key])
    return changed


def _volume(image: Any) -> tuple[Tensor, tuple[float, float, float]]:
    """(slices, rows, columns) float32 of a (1, slices, rows, columns) image, and its spacing in mm."""
    tensor = torch.as_tensor(image)
    if tensor.ndim != 4 or tensor.shape[0] != 1:
        raise ValueError(f"expected (1, slices, rows, columns), not {tuple(tensor.shape)}")
    spacing = (1.0, 1.0, 1.0)
    if isinstance(image, MetaTensor):
        spacing = tuple(np.linalg.norm(np.asarray(image.affine, dtype=np.float64)[:3, :3], axis=0))
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    return plain[0].float(), (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def _like(image: Any, volume: Tensor) -> Any:
    return _placed(image, volume, image.affine) if isinstance(image, MetaTensor) else volume[None]


def _placed(image: MetaTensor, volume: Tensor, affine: Any) -> MetaTensor:
    meta = {key: value for key, value in image.meta.items() if key != "affine"}
    return MetaTensor(volume[None], affine=torch.as_tensor(affine), meta=meta)


def _reduced(image: Any, volume: Tensor, operator: ResolutionOperator) -> Any:
    reduced = reduce_resolution(volume, operator)
    if not isinstance(image, MetaTensor):
        return reduced[None]
    # MONAI: affine on (slice, row, column) to RAS; VoxelGrid: on (column, row, slice) to LPS.
    flip = np.eye(4)[[2, 1, 0, 3]]
    affine = lps_to_ras(np.asarray(image.affine, dtype=np.float64)) @ flip
    grid = operator.grid(VoxelGrid((volume.shape[0], volume.shape[1], volume.shape[2]), affine))
    moved = lps_to_ras(grid.affine) @ flip
    return _placed(image, reduced, moved)
