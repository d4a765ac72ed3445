"""Broken NIfTI, NRRD and MetaImage by kind: each builder fills an empty folder."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

Builder = Callable[[Path], None]
VOXELS = np.arange(4 * 16 * 16, dtype=np.int16).reshape(16, 16, 4)


def nifti(**header: object) -> bytes:
    """A small NIfTI-1 file with header fields set to anything."""
    image = nibabel.Nifti1Image(VOXELS, np.diag([0.8, 0.7, 2.5, 1.0]))
    data = bytearray(image.to_bytes())
    parsed = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in header.items():
        parsed[name] = value
    data[:348] = parsed.binaryblock
    return bytes(data)


def file(name: str, data: bytes) -> Builder:
    return lambda folder: (folder / name).write_bytes(data) and None


def affine(rows: list[list[float]]) -> bytes:
    return nifti(srow_x=rows[0], srow_y=rows[1], srow_z=rows[2], sform_code=1)


def niftis() -> dict[str, Builder]:
    whole = nifti()
    nan, inf = float("nan"), float("inf")
    plain = {
        "empty": b"",
        "of one byte": b"n",
        "cut in its header": whole[:200],
        "without voxels": whole[:352],
        "cut in its voxels": whole[:-100],
        "of zeros": bytes(2000),
        "of text": b"this is no volume\n" * 40,
        "with the wrong magic": nifti(magic=b"xxx"),
        "of no axes": nifti(dim=[0, 16, 16, 4, 1, 1, 1, 1]),
        "of nine axes": nifti(dim=[9, 16, 16, 4, 1, 1, 1, 1]),
        "of negative axes": nifti(dim=[3, -16, 16, 4, 1, 1, 1, 1]),
        "of an axis of zero": nifti(dim=[3, 16, 0, 4, 1, 1, 1, 1]),
        "of huge axes": nifti(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]),
        "of seven huge axes": nifti(dim=[7] + [32767] * 7),
        "of one axis": nifti(dim=[1, 1024, 1, 1, 1, 1, 1, 1]),
        "of two axes": nifti(dim=[2, 32, 32, 1, 1, 1, 1, 1]),
        "of four axes": nifti(dim=[4, 16, 16, 2, 2, 1, 1, 1]),
        "of an unknown type": nifti(datatype=9999),
        "of colours": nifti(datatype=128, bitpix=24),
        "of complex numbers": nifti(datatype=32, bitpix=64),
        "of long doubles": nifti(datatype=1536, bitpix=128),
        "of single bits": nifti(datatype=1, bitpix=1),
        "with voxels behind its end": nifti(vox_offset=1e9),
        "with voxels before its begin": nifti(vox_offset=-352.0),
        "with voxels nowhere": nifti(vox_offset=nan),
        "with voxel sizes of zero": nifti(pixdim=[1, 0, 0, 0, 0, 0, 0, 0], sform_code=0, qform_code=0),
        "with negative voxel sizes": nifti(pixdim=[-1, -1, -1, -1, 0, 0, 0, 0], sform_code=0, qform_code=1),
        "with voxel sizes that are no numbers": nifti(pixdim=[1, nan, nan, nan, 0, 0, 0, 0], sform_code=0),
        "with endless voxel sizes": nifti(pixdim=[1, inf, 1, 1, 0, 0, 0, 0], sform_code=0),
        "with an impossible quaternion": nifti(quatern_b=5, quatern_c=5, quatern_d=5, sform_code=0, qform_code=1),
        "with an affine of no numbers": affine([[nan] * 4] * 3),
        "with an endless affine": affine([[inf, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
        "with an affine of zeros": affine([[0] * 4] * 3),
        "with a flat affine": affine([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
        "with a tiny affine": affine([[1e-30, 0, 0, 0], [0, 1e-30, 0, 0], [0, 0, 1e-30, 0]]),
        "with a huge affine": affine([[1e30, 0, 0, 0], [0, 1e30, 0, 0], [0, 0, 1e30, 0]]),
        "with a slope of no number": nifti(scl_slope=nan),
        "with a slope of zero": nifti(scl_slope=0),
        "with an endless slope": nifti(scl_slope=inf),
        "with a slope that overflows": nifti(scl_slope=3e38, scl_inter=3e38),
        "with an unknown unit": nifti(xyzt_units=255),
        "with another header size": nifti(sizeof_hdr=-1),
        "with swapped bytes": struct.pack(">i", 348) + whole[4:],
        "with an endless extension": whole[:348] + b"\1\0\0\0" + struct.pack("<ii", 1 << 30, 6) + whole[352:],
    }
    doubles = np.full((16, 16, 4), np.nan)
    plain["of voxels that are no numbers"] = nibabel.Nifti1Image(doubles, np.eye(4)).to_bytes()
    plain["of endless voxels"] = nibabel.Nifti1Image(np.full((16, 16, 4), np.inf), np.eye(4)).to_bytes()
    plain["of enormous voxels"] = nibabel.Nifti1Image(np.full((16, 16, 4), 1e300), np.eye(4)).to_bytes()
    cases = {f"NIfTI {kind}": file("v.nii", data) for kind, data in plain.items()}
    packed = gzip.compress(whole)
    for kind, data in {
        "cut": packed[:-30],
        "with a wrong sum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
        "that is not": whole,
        "of nothing": gzip.compress(b""),
        "of text": gzip.compress(b"text" * 200),
        "twice": gzip.compress(packed),
        "with noise behind": packed + b"noise" * 30,
        "of a bomb": gzip.compress(nifti(dim=[3, 1024, 1024, 512, 1, 1, 1, 1]) + bytes(64 << 20)),
        "of a bomb behind the voxels": gzip.compress(whole + bytes(64 << 20)),
    }.items():
        cases[f"NIfTI in gzip {kind}"] = file("v.nii.gz", data)
    return cases


_NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 16 16 4\nspace: left-posterior-superior\nencoding: raw\n"
    "endian: little\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
)
_MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 1\nDimSize = 16 16 4\n"
    "ElementType = MET_SHORT\n"
)


def itks() -> dict[str, Builder]:
    voxels = VOXELS.tobytes()
    nrrd = {
        "empty": b"",
        "of its first line": b"NRRD0004\n",
        "of a future kind": b"NRRD0099\n" + _NRRD.encode()[9:] + b"\n" + voxels,
        "without voxels": _NRRD.encode() + b"\n",
        "cut in its voxels": _NRRD.encode() + b"\n" + voxels[:-100],
        "without sizes": _NRRD.replace("sizes: 16 16 4\n", "").encode() + b"\n" + voxels,
        "of huge sizes": _NRRD.replace("16 16 4", "999999 999999 9999").encode() + b"\n" + voxels,
        "of negative sizes": _NRRD.replace("16 16 4", "-16 16 4").encode() + b"\n" + voxels,
        "of sizes in words": _NRRD.replace("16 16 4", "a b c").encode() + b"\n" + voxels,
        "of 17 axes": _NRRD.replace("dimension: 3", "dimension: 17").encode() + b"\n" + voxels,
        "of two axes": _NRRD.replace("dimension: 3", "dimension: 2").encode() + b"\n" + voxels,
        "of blocks": _NRRD.replace("type: short", "type: block\nblock size: 9").encode() + b"\n" + voxels,
        "of an unknown encoding": _NRRD.replace("raw", "magic").encode() + b"\n" + voxels,
        "of hex that is none": _NRRD.replace("raw", "hex").encode() + b"\n" + voxels,
        "of text that is none": _NRRD.replace("raw", "ascii").encode() + b"\n" + voxels,
        "in gzip that is none": _NRRD.replace("raw", "gzip").encode() + b"\n" + voxels,
        "in gzip of a bomb": _NRRD.replace("raw", "gzip").encode() + b"\n" + gzip.compress(bytes(64 << 20)),
        "with directions of no numbers": _NRRD.replace("(1,0,0)", "(nan,0,0)").encode() + b"\n" + voxels,
        "with directions of zero": _NRRD.replace("(1,0,0)", "(0,0,0)").encode() + b"\n" + voxels,
        "with flat directions": _NRRD.replace("(0,1,0)", "(1,0,0)").encode() + b"\n" + voxels,
        "with an endless origin": _NRRD.replace("origin: (0", "origin: (inf").encode() + b"\n" + voxels,
        "with a line of a megabyte": _NRRD.encode() + b"# " + b"x" * (1 << 20) + b"\n\n" + voxels,
        "with its voxels in a system file": (_NRRD + "data file: /etc/passwd\n\n").encode(),
        "with its voxels one folder up": (_NRRD + "data file: ../v.raw\n\n").encode(),
        "with its voxels in many files": (_NRRD + "data file: slice%03d.raw 1 4 1\n\n").encode(),
        "with its voxels in a list": (_NRRD + "data file: LIST\n/etc/passwd\n/etc/hosts\n").encode(),
        "with its voxels in itself": (_NRRD + "data file: v.nhdr\n\n").encode(),
        "with a skip behind its end": _NRRD.replace("endian", "byte skip: 99999999\nendian").encode() + b"\n" + voxels,
        "with a negative skip": _NRRD.replace("endian", "byte skip: -2\nendian").encode() + b"\n" + voxels,
    }
    local = b"ElementDataFile = LOCAL\n"
    meta = {
        "empty": b"",
        "without voxels": _MHA.encode() + local,
        "cut in its voxels": _MHA.encode() + local + voxels[:-100],
        "without axes": _MHA.replace("NDims = 3\n", "").encode() + local + voxels,
        "of 50 axes": _MHA.replace("NDims = 3", "NDims = 50").encode() + local + voxels,
        "of negative axes": _MHA.replace("16 16 4", "-16 16 4").encode() + local + voxels,
        "of huge axes": _MHA.replace("16 16 4", "99999 99999 99999").encode() + local + voxels,
        "of axes in words": _MHA.replace("16 16 4", "a b c").encode() + local + voxels,
        "of no axes": _MHA.replace("DimSize = 16 16 4\n", "").encode() + local + voxels,
        "of an unknown type": _MHA.replace("MET_SHORT", "MET_MAGIC").encode() + local + voxels,
        "of several channels": _MHA.encode() + b"ElementNumberOfChannels = 3\n" + local + voxels * 3,
        "of a million channels": _MHA.encode() + b"ElementNumberOfChannels = 1000000\n" + local + voxels,
        "of spacings of zero": _MHA.replace("= 1 1 1", "= 0 0 0").encode() + local + voxels,
        "of spacings of no numbers": _MHA.replace("= 1 1 1", "= nan nan nan").encode() + local + voxels,
        "of negative spacings": _MHA.replace("= 1 1 1", "= -1 -1 -1").encode() + local + voxels,
        "of flat directions": _MHA.encode() + b"TransformMatrix = 1 0 0 1 0 0 0 0 1\n" + local + voxels,
        "compressed and cut": _MHA.encode() + b"CompressedData = True\n" + local + zlib.compress(voxels)[:-9],
        "compressed and too long": _MHA.encode()
        + b"CompressedData = True\nCompressedDataSize = 99999999999\n"
        + local
        + zlib.compress(voxels),
        "compressed bomb": _MHA.encode() + b"CompressedData = True\n" + local + zlib.compress(bytes(64 << 20)),
        "with its voxels in a system file": _MHA.encode() + b"ElementDataFile = /etc/passwd\n",
        "with its voxels one folder up": _MHA.encode() + b"ElementDataFile = ../../v.raw\n",
        "with its voxels in a pattern": _MHA.encode() + b"ElementDataFile = %d.raw 1 4 1\n",
        "with its voxels in a list": _MHA.encode() + b"ElementDataFile = LIST\n/etc/passwd\n",
        "with a header behind its end": _MHA.encode() + b"HeaderSize = 999999\n" + local + voxels,
        "with a negative header": _MHA.encode() + b"HeaderSize = -1\n" + local + voxels,
        "of text": b"no image at all\n" * 30,
    }
    cases = {f"NRRD {kind}": file("v.nhdr" if b"data file" in data else "v.nrrd", data) for kind, data in nrrd.items()}
    cases |= {f"MetaImage {kind}": file("v.mha", data) for kind, data in meta.items()}
    cases["MetaImage header without its voxels"] = file("v.mhd", _MHA.encode() + b"ElementDataFile = v.raw\n")
    return cases


def cases() -> dict[str, Builder]:
    """All of them by name."""
    return {**niftis(), **itks()}
