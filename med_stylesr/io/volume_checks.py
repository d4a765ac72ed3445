"""What every volume file must hold to count as CT: three axes, a believable size and spacing, finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.geometry import Affine
from med_stylesr.io.ct_slice import PIXEL_SPACING_MM
from med_stylesr.volume import CTVolume

NO_FAT_NO_AIR: Final = "no value is below 0 HU, as fat and air are: is this a CT scan in HU?"
SLICES_APART_MM: Final = 200.0
MAX_VOXELS: Final = 1 << 32
"""More voxels than 16384 slices of 512 x 512."""
DEFLATE_LIMIT: Final = 1100
"""Deflate cannot pack better than 1:1032, so a file that claims more is damaged or hostile."""


def check_claimed_size(path: Path, shape: Sequence[int], bytes_per_voxel: int, data: Path | None = None) -> None:
    """Compare the size in a header with the number of bytes there are, before memory is taken for it.

    Args:
        path: the file, for messages.
        shape: axes as the header has them, the fourth and further ones of length one.
        bytes_per_voxel: size of a voxel in the file.
        data: the file with the voxels, if it is not the same.

    Raises:
        InputError: for another number of axes, no or too many voxels, or fewer bytes than any packing could explain.
    """
    name = str(path)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(name, f"has axes {tuple(shape)}, not slices, rows and columns", "give one 3-D volume a file")
    voxels = math.prod(shape)
    if not 0 < voxels <= MAX_VOXELS or min(shape) < 1:
        raise InputError(name, f"claims {tuple(shape)} voxels, which cannot be a CT volume", "export it again")
    if voxels * bytes_per_voxel > (data or path).stat().st_size * DEFLATE_LIMIT:
        raise InputError(name, f"claims {tuple(shape)} voxels but is far too short for them", "copy it again")


def volume_of(name: str, hu: NDArray[Any], affine: Affine, provenance: Mapping[str, Any]) -> CTVolume:
    """A checked volume.

    Args:
        name: the file, for messages.
        hu: int16 or float32, shape (slices, rows, columns).
        affine: 4x4, voxel (i, j, k, 1) to LPS mm.
        provenance: where it came from.

    Raises:
        InputError: if a value is not finite, the affine is no affine, or its spacing that of no CT.
    """
    if hu.dtype.kind == "f" and not np.isfinite(hu).all():
        bad = int((~np.isfinite(hu)).sum())
        raise InputError(name, f"{bad} voxels are not finite numbers", "replace them by a HU value such as -1024")
    doubts = (NO_FAT_NO_AIR,) if hu.size and hu.min() >= 0 else ()
    told = {**provenance, "warnings": (*provenance.get("warnings", ()), *doubts)}
    try:
        volume = CTVolume(np.ascontiguousarray(hu), affine, told)
    except ValueError as error:
        raise InputError(name, f"its geometry is unusable ({error})", "export it again") from error
    low, high = PIXEL_SPACING_MM
    between, rows, columns = volume.spacing_mm
    # Slices may lie apart, as those of a few levels do.
    if min(volume.spacing_mm) < low or max(rows, columns) > high or between > SLICES_APART_MM:
        mm = " x ".join(f"{one:.6g}" for one in volume.spacing_mm)
        bounds = f"{low:g} to {high:g} mm are taken, slices {SLICES_APART_MM:g}"
        why = f"its voxel spacing is {mm} mm (slice, row, column); {bounds}"
        raise InputError(name, why, "correct its pixel spacing or export it again")
    return volume
