"""A CT series as one volume: headers in order, where the pixels are, geometry, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from med_stylesr.errors import one_line
from med_stylesr.geometry import Affine, VoxelGrid
from med_stylesr.io.attributes import number, numbers, text, word, words

_LONGEST_REASON: Final = 800


@dataclass(frozen=True)
class SliceFile:
    """Where one slice's pixels are.

    Attributes:
        path: the file.
        transfer_syntax: how it is encoded.
        pixel_offset: byte offset of its pixel data element (in the inflated stream if deflated).
        frame: index of the frame in it; 0 for a single-frame file.
        frames: number of frames in it.
    """

    path: Path
    transfer_syntax: UID
    pixel_offset: int
    frame: int = 0
    frames: int = 1


@dataclass(frozen=True)
class DicomSeries:
    """Slices of one CT series that make one volume, in order along their normal; picklable.

    Attributes:
        headers: one dataset a slice, without pixel data and private attributes. For a multi-frame file, what its
            functional groups say of the frame stands at the top level, as in a single-frame CT image.
        files: where the slices' pixels are, in the same order.
        affine: 4x4, voxel (column i, row j, slice k, 1) to LPS mm; sheared for a tilted gantry.
        slice_origins_mm: (slices, 3) LPS mm of each slice's first voxel if unevenly spaced, else None.
        warnings: what is odd about the series and what is assumed.
        part: what tells this stack from others with the same SeriesInstanceUID ("kernel B70f"), or "".
    """

    headers: tuple[Dataset, ...]
    files: tuple[SliceFile, ...]
    affine: Affine
    slice_origins_mm: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()
    part: str = ""

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.headers)

    @property
    def grid(self) -> VoxelGrid:
        """Positions of the voxels (least squares if the slices are unevenly spaced)."""
        first = self.headers[0]
        return VoxelGrid((len(self), int(first.Rows), int(first.Columns)), self.affine)

    @property
    def origins_mm(self) -> NDArray[np.float64]:
        """LPS mm of each slice's first voxel (ImagePositionPatient), shape (slices, 3)."""
        return np.array([numbers(h, "ImagePositionPatient", 3) for h in self.headers], dtype=np.float64)

    @property
    def uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return word(self.headers[0], "SeriesInstanceUID")

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID (0020,000D)."""
        return word(self.headers[0], "StudyInstanceUID")

    @property
    def patient_id(self) -> str:
        """PatientID (0010,0020)."""
        return text(self.headers[0], "PatientID")

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOPInstanceUID of each slice; the same one for all frames of a multi-frame file."""
        return tuple(word(h, "SOPInstanceUID") for h in self.headers)

    @property
    def description(self) -> str:
        """SeriesDescription (0008,103E), or an empty string."""
        return text(self.headers[0], "SeriesDescription")

    @property
    def kernel(self) -> str:
        """ConvolutionKernel (0018,1210), several values joined by a backslash, or an empty string."""
        return "\\".join(words(self.headers[0], "ConvolutionKernel"))

    @property
    def manufacturer(self) -> str:
        """Manufacturer (0008,0070), or an empty string."""
        return text(self.headers[0], "Manufacturer")

    @property
    def kvp(self) -> float | None:
        """KVP (0018,0060) in kV, or None when not given."""
        voltage = number(self.headers[0], "KVP")
        return voltage if voltage is not None and voltage > 0 else None

    @property
    def thickness_mm(self) -> float | None:
        """Median SliceThickness (0018,0050) in mm, or None when not given."""
        given = [t for t in (number(h, "SliceThickness") for h in self.headers) if t is not None and t > 0]
        return float(np.median(given)) if given else None

    @property
    def name(self) -> str:
        """The series in words, for messages: description, kernel, part, number of slices, UID."""
        parts = [self.description, self.kernel and f"kernel {self.kernel}", self.part, f"{len(self)} slices"]
        return f"series {self.uid} ({', '.join(p for p in parts if p)})"


@dataclass(frozen=True)
class Skipped:
    """Something in the source that is not used, and why.

    Attributes:
        name: path, or series in words.
        reason: why it is not used, and what to do.
        problem: True for CT data that should have been usable (damaged, incomplete, inseparable), False for what is
            no CT volume in the first place (localizers, other modalities, text files).
    """

    name: str
    reason: str
    problem: bool = False

    def __post_init__(self) -> None:
        """Keep the reason one line, whatever header it quotes."""
        object.__setattr__(self, "reason", one_line(self.reason, _LONGEST_REASON, plain=True))
