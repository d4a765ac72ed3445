"""Volumes as NRRD files, by numpy alone: uncompressed for the engine, raw or gzip from it. Runs on any thread.

Slicer's own storage nodes do the same on the thread of the GUI, where unpacking 100 MB is felt; the tests hold both
against each other. Affines map (column, row, slice, 1) to LPS millimetres and may be sheared.

Source: the NRRD format, https://teem.sourceforge.net/nrrd/format.html.
"""

import re
import zlib

import numpy as np

from .i18n import _
from .problems import EngineProblem

_TYPES = {"short": "i2", "int16": "i2", "signed short": "i2", "float": "f4", "double": "f8", "int": "i4"}
_NAMES = {"int16": "int16", "float32": "float"}
_CHUNK = 1 << 22
_VECTOR = re.compile(r"\(([^)]*)\)")


def write_nrrd(path, voxels, affine):
    """Write a volume, uncompressed.

    Args:
        path: file to write.
        voxels: int16 or float32, (slices, rows, columns).
        affine: 4x4, (column, row, slice, 1) to LPS mm.
    """
    directions = " ".join(_vector(affine[:3, axis]) for axis in range(3))
    header = [
        "NRRD0004",
        f"type: {_NAMES[voxels.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in reversed(voxels.shape)),
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        f"space origin: {_vector(affine[:3, 3])}",
    ]
    with open(path, "wb") as file:
        file.write(("\n".join(header) + "\n\n").encode("ascii"))
        file.write(np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("<")).data)


def read_nrrd(path):
    """Read a volume.

    Args:
        path: a one-file NRRD with raw or gzip encoding in LPS.

    Returns:
        Voxels (slices, rows, columns) and the 4x4 affine to LPS mm.

    Raises:
        EngineProblem: if the file is no such volume.
    """
    with open(path, "rb") as file:
        try:
            fields = _header(file)
            shape = tuple(int(n) for n in reversed(fields["sizes"].split()))
            dtype = np.dtype(_TYPES[fields["type"]]).newbyteorder("<" if fields["endian"] == "little" else ">")
            columns = [_numbers(vector) for vector in _VECTOR.findall(fields["space directions"])]
            affine = np.eye(4)
            affine[:3, :3] = np.array(columns).T
            affine[:3, 3] = _numbers(_VECTOR.findall(fields["space origin"])[0])
            if fields["space"] != "left-posterior-superior" or len(shape) != 3:
                raise ValueError(fields["space"])
            voxels = np.empty(shape, dtype)
            _fill(memoryview(voxels.reshape(-1).view(np.uint8)), file, fields["encoding"])
        except (KeyError, IndexError, ValueError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise EngineProblem(str(path), _("is no volume we can read ({error})").format(error=error)) from None
    return voxels.astype(dtype.newbyteorder("="), copy=False), affine


def _header(file):
    if not file.readline().startswith(b"NRRD"):
        raise ValueError("NRRD")
    # Absent for one-byte types only, which are none of ours.
    fields = {"endian": "little"}
    for raw in iter(file.readline, b""):
        line = raw.decode("utf-8").rstrip("\r\n")
        if not line:
            return fields
        if not line.startswith("#") and ":=" not in line:
            name, _colon, value = line.partition(":")
            fields[name.strip()] = value.strip()
    raise EOFError("header")


def _fill(target, file, encoding):
    """Fill a buffer with the voxels; chunk by chunk, so that other threads get their turn."""
    if encoding not in ("raw", "gzip", "gz"):
        raise ValueError(encoding)
    # 16 + the window size makes zlib expect a gzip header.
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding != "raw" else None
    done = 0
    while done < len(target):
        chunk = file.read(_CHUNK)
        if not chunk:
            raise EOFError("voxels")
        data = unpack.decompress(chunk) if unpack else chunk
        end = min(done + len(data), len(target))
        target[done:end] = data[: end - done]
        done = end


def _vector(values):
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


def _numbers(text):
    return [float(part) for part in text.split(",")]
