"""Analytic CT phantoms at known LPS millimetres, sampled on any stack of slices and written as DICOM series.

A `Scene` says the HU at any point of space. A `StackSpec` says where the voxels of a series are. Whatever reads the
written series must find the scene's HU at the millimetres it claims: `worst_shift_mm` measures by how much it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Ball:
    """A ball of one HU value."""

    centre_mm: tuple[float, float, float]
    radius_mm: float
    hu: float

    def contains(self, points: Points) -> NDArray[np.bool_]:
        return np.asarray(np.linalg.norm(points - self.centre_mm, axis=-1) <= self.radius_mm)


@dataclass(frozen=True)
class Box:
    """A box along the LPS axes of one HU value."""

    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    hu: float

    def contains(self, points: Points) -> NDArray[np.bool_]:
        return np.asarray(((points >= self.low_mm) & (points <= self.high_mm)).all(axis=-1))


@dataclass(frozen=True)
class Scene:
    """HU as a function of LPS millimetres; later shapes cover earlier ones.

    The gradient makes every voxel's value tell its own place, so that a shift of a fraction of a voxel shows.
    """

    shapes: tuple[Ball | Box, ...] = ()
    background_hu: float = 0.0
    gradient_hu_per_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def hu_at(self, points: ArrayLike) -> Points:
        """HU at points of shape (..., 3) in LPS mm."""
        points = np.asarray(points, dtype=np.float64)
        hu = self.background_hu + points @ np.asarray(self.gradient_hu_per_mm)
        for shape in self.shapes:
            hu = np.where(shape.contains(points), shape.hu, hu)
        return hu


GRADIENT = Scene(background_hu=100.0, gradient_hu_per_mm=(11.0, -7.0, 5.0))
"""No symmetry: any flip, swap or shift of axes changes it."""

BODY = Scene(
    (
        Ball((0, 0, 0), 40, 40),
        Ball((-18, -8, 0), 10, -850),
        Ball((18, -8, 3), 9, -820),
        Box((-4, 14, -40), (4, 24, 40), 700),
        Ball((10, 14, 6), 4, 120),
        Ball((-12, 18, -6), 5, -90),
    ),
    background_hu=-1000,
)
"""A thorax of sorts: soft tissue, two lungs, spine, a vessel and a fat lobule, without symmetry."""


@dataclass(frozen=True)
class StackSpec:
    """Where the voxels of a series are, and how its files say so.

    Attributes:
        origins_mm: (slices, 3) LPS mm of each slice's first voxel, in the order in which files are numbered.
        orientation: row direction, column direction (ImageOrientationPatient).
        spacing_mm: between rows, between columns (PixelSpacing).
        shape: rows, columns.
        slope: RescaleSlope, one for all or one a slice.
        intercept: RescaleIntercept, one for all or one a slice.
        bits_stored: BitsStored; HighBit is one less.
        signed: PixelRepresentation.
        padding: stored value put outside the inscribed circle, or None.
        header: attributes set on every slice, by keyword; None removes one.
        per_slice: called with each dataset and its number before it is written.
        transfer_syntax: how the files are encoded.
    """

    origins_mm: Points
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    spacing_mm: tuple[float, float] = (2.0, 2.0)
    shape: tuple[int, int] = (24, 20)
    slope: float | Sequence[float] = 1.0
    intercept: float | Sequence[float] = -1024.0
    bits_stored: int = 16
    signed: bool = True
    padding: int | None = None
    header: dict[str, Any] = field(default_factory=dict)
    per_slice: Callable[[Dataset, int], None] | None = None
    transfer_syntax: UID = ExplicitVRLittleEndian
    dtype_bits: int = 16

    def positions(self, k: int) -> Points:
        """LPS mm of the voxel centres of slice k, shape (rows, columns, 3) (PS3.3 equation C.7.6.2.1-1)."""
        row, column = np.array(self.orientation[:3], float), np.array(self.orientation[3:], float)
        j, i = np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1]), indexing="ij")
        along_row = i[..., None] * row * self.spacing_mm[1]
        along_column = j[..., None] * column * self.spacing_mm[0]
        return np.asarray(self.origins_mm[k] + along_row + along_column)

    def with_(self, **changes: Any) -> StackSpec:
        return replace(self, **changes)


def stack(
    slices: int = 8,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    step_mm: Sequence[float] | float = 3.0,
    centre_mm: Sequence[float] = (0, 0, 0),
    **spec: Any,
) -> StackSpec:
    """An evenly spaced stack around a centre; a number for `step_mm` goes along the normal."""
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    step = np.cross(row, column) * step_mm if np.isscalar(step_mm) else np.asarray(step_mm, float)
    shape, spacing = spec.get("shape", (24, 20)), spec.get("spacing_mm", (2.0, 2.0))
    first = (
        np.asarray(centre_mm, float) - row * spacing[1] * (shape[1] - 1) / 2 - column * spacing[0] * (shape[0] - 1) / 2
    )
    origins = first + (np.arange(slices)[:, None] - (slices - 1) / 2) * step
    return StackSpec(np.round(origins, 6), tuple(float(v) for v in orientation), **spec)


def rotated(degrees: float, axis: str, directions: Sequence[float] = (1, 0, 0, 0, 1, 0)) -> tuple[float, ...]:
    """Row and column directions turned about an LPS axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]
    both = np.reshape(np.asarray(directions, float), (2, 3)) @ turn.T
    return tuple(np.round(both.ravel(), 9).tolist())


def write_series(folder: Path, spec: StackSpec, scene: Scene = GRADIENT, **header: Any) -> list[Path]:
    """Write the scene as a CT series; returns the files in slice order. UIDs follow from the folder's name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(len(spec.origins_mm)):
        path = folder / f"{k:04d}.dcm"
        slice_dataset(spec, scene, k, folder.name, **header).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_dataset(spec: StackSpec, scene: Scene, k: int, seed: str = "phantom", **header: Any) -> Dataset:
    """One slice as a complete CT image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = spec.transfer_syntax
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[seed, "instance", str(k)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[seed, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[seed, "series"])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[seed, "frame of reference"])
    dataset.Modality, dataset.Manufacturer = "CT", "Phantom Works"
    dataset.PatientName, dataset.PatientID = "Phantom^Analytic", "PH-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200101", "120000", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = "2", "1", str(k + 1)
    dataset.SeriesDescription, dataset.BodyPartExamined, dataset.PatientPosition = "Phantom", "CHEST", "HFS"
    dataset.KVP, dataset.ConvolutionKernel, dataset.SliceThickness = "120", "STANDARD", "3"
    dataset.PositionReferenceIndicator = ""
    dataset.ImagePositionPatient = [_ds(v) for v in spec.origins_mm[k]]
    dataset.ImageOrientationPatient = [_ds(v) for v in spec.orientation]
    dataset.PixelSpacing = [_ds(v) for v in spec.spacing_mm]
    _set_pixels(dataset, spec, scene.hu_at(spec.positions(k)), k)
    for keyword, value in {**spec.header, **header}.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    if spec.per_slice is not None:
        spec.per_slice(dataset, k)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _set_pixels(dataset: Dataset, spec: StackSpec, hu: Points, k: int) -> None:
    slope, intercept = (v if np.isscalar(v) else v[k] for v in (spec.slope, spec.intercept))
    low = -(1 << (spec.bits_stored - 1)) if spec.signed else 0
    stored = np.clip(np.rint((hu - intercept) / slope), low, low + (1 << spec.bits_stored) - 1).astype(np.int64)
    if spec.padding is not None:
        j, i = np.ogrid[: spec.shape[0], : spec.shape[1]]
        centre, radius = (np.array(spec.shape) - 1) / 2, (min(spec.shape) - 1) / 2
        stored[np.hypot(j - centre[0], i - centre[1]) > radius] = spec.padding
    if spec.signed:
        stored &= (1 << spec.bits_stored) - 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = spec.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = spec.dtype_bits, spec.bits_stored, spec.bits_stored - 1
    dataset.PixelRepresentation = int(spec.signed)
    dataset.RescaleSlope, dataset.RescaleIntercept = _ds(slope), _ds(intercept)
    dataset.add_new(0x7FE00010, "OW", stored.astype("<u2" if spec.dtype_bits == 16 else "u1").tobytes())


def worst_shift_mm(hu: NDArray[Any], positions: Points, scene: Scene = GRADIENT) -> float:
    """By how many millimetres HU of a gradient scene lie elsewhere than `positions` says, at the worst voxel.

    Args:
        hu: HU, any shape (...), rounded to whole numbers once.
        positions: claimed LPS mm of the voxels, shape (..., 3).
        scene: a scene of a gradient alone.
    """
    slope = float(np.linalg.norm(scene.gradient_hu_per_mm))
    return float(max(0.0, np.abs(hu - scene.hu_at(positions)).max() - 0.5) / slope)


def _ds(value: float) -> str:
    return pydicom.valuerep.format_number_as_ds(float(value) + 0.0)


def enhanced_dataset(spec: StackSpec, scene: Scene, seed: str = "phantom") -> Dataset:
    """All slices as one Enhanced CT image (PS3.3 A.38): places in per-frame, the rest in shared functional groups."""
    frames = [slice_dataset(spec, scene, k, seed) for k in range(len(spec.origins_mm))]
    dataset = frames[0]
    pixels = b"".join(frame.PixelData for frame in frames)
    shared, per_frame = Dataset(), []
    measures, transformation, reconstruction = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, dataset.SliceThickness
    transformation.RescaleSlope, transformation.RescaleIntercept = dataset.RescaleSlope, dataset.RescaleIntercept
    transformation.RescaleType = "HU"
    reconstruction.ConvolutionKernel = dataset.ConvolutionKernel
    shared.PixelMeasuresSequence = [measures]
    shared.PixelValueTransformationSequence = [transformation]
    shared.CTReconstructionSequence = [reconstruction]
    for frame in frames:
        item, position, orientation = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = frame.ImagePositionPatient
        orientation.ImageOrientationPatient = frame.ImageOrientationPatient
        item.PlanePositionSequence, item.PlaneOrientationSequence = [position], [orientation]
        per_frame.append(item)
    for keyword in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept", "ConvolutionKernel"):
        del dataset[keyword]
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames = len(frames)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    dataset.PixelData = pixels
    return dataset
