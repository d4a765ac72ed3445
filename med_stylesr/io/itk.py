"""NRRD and MetaImage volumes by SimpleITK, which works in LPS millimetres and keeps a sheared direction matrix."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from med_stylesr.errors import InputError
from med_stylesr.io.metaimage import check_voxels
from med_stylesr.io.quiet import silenced
from med_stylesr.io.rescale import rescaled
from med_stylesr.io.volume_checks import check_claimed_size, volume_of
from med_stylesr.volume import CTVolume

_BYTES: Final = {"8": 1, "16": 2, "32": 4, "64": 8}
_DATA_FILE: Final = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_ADDRESS: Final = re.compile(r"\(0x[0-9a-fA-F]+\)")
_METAIMAGE: Final = (".mha", ".mhd")
_SPACE: Final = re.compile(rb"^space:", re.MULTILINE)
_HEADER_BYTES: Final = 1 << 16


def read_itk(path: Path) -> CTVolume:
    """Read an NRRD or MetaImage volume as HU.

    Raises:
        InputError: if the file is damaged, has several volumes, vectors, complex or not finite values.
    """
    name = str(path)
    data = _data_file(path)
    try:
        with silenced():
            image = _image(path, data)
        stored: NDArray[Any] = SimpleITK.GetArrayFromImage(image)
    except InputError:
        raise
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror or error})", "check the disk") from error
    except RuntimeError as error:
        raise InputError(name, f"is no readable volume{_reason(error)}", "copy or export it again") from error
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    provenance = {"format": path.suffix.lstrip("."), "warnings": _assumed(path)}
    return volume_of(name, rescaled(stored, 1.0, 0.0), affine, provenance)


def _image(path: Path, data: Path | None) -> SimpleITK.Image:
    """The image with three axes.

    Raises:
        InputError: if it is no image of single numbers or far too short.
        RuntimeError: what SimpleITK says of a damaged file.
    """
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    pixel = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    if reader.GetNumberOfComponents() != 1 or not re.search("integer|float", pixel) or "complex" in pixel:
        raise InputError(str(path), f"voxels are {pixel}, not one number each", "give a volume in HU")
    bits = re.search(r"\d+", pixel)
    bytes_per_voxel = _BYTES[bits.group()] if bits else 4
    check_claimed_size(path, reader.GetSize(), bytes_per_voxel, data)
    if path.name.lower().endswith(_METAIMAGE):
        check_voxels(path, data, math.prod(reader.GetSize()) * bytes_per_voxel)
    image = reader.Execute()
    if image.GetDimension() > 3:
        image = image[(slice(None),) * 3 + (0,) * (image.GetDimension() - 3)]
    return image


def write_itk(volume: CTVolume, path: Path) -> None:
    """Write a volume as NRRD or MetaImage (by its name's ending), compressed, int16 or float32 as it is."""
    columns = volume.affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    image = SimpleITK.GetImageFromArray(volume.hu)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin(volume.affine[:3, 3].tolist())
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        raise InputError(str(path), f"cannot be written ({last})", "make room or check the permissions") from error


def _reason(error: RuntimeError) -> str:
    """What SimpleITK says last; its "Reason:" is the last error of the system, whatever that had to do with."""
    lines = [line for line in str(error).strip().splitlines() if "Reason:" not in line]
    return f" ({_ADDRESS.sub('', lines[-1])})" if lines else ""


def _assumed(path: Path) -> list[str]:
    """What a header leaves open, and what SimpleITK takes it for without a word."""
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    if not start.startswith(b"NRRD") or _SPACE.search(start.partition(b"\n\n")[0]):
        return []
    return ["the header names no space: position and orientation are assumed to be LPS, missing spacings to be 1 mm"]


def _data_file(path: Path) -> Path | None:
    """The file that a detached header points to; only a plain name beside the header is followed.

    Raises:
        InputError: if the header points elsewhere, to several files, or to what is no regular file.
    """
    with path.open("rb") as file:
        found = _DATA_FILE.search(file.read(_HEADER_BYTES))
    target = found.group(1).decode("utf-8", "replace") if found else "LOCAL"
    if target.upper() == "LOCAL":
        return None
    data = path.parent / target
    if Path(target).name != target or not data.is_file():
        why = f"its voxels are said to be in {target}, which is no file beside it"
        raise InputError(str(path), why, "put the data file beside the header or give a one-file volume")
    return data
