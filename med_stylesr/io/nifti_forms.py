"""Where a NIfTI header places its voxels: sform and qform, which may disagree and which programs choose between."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.linalg import LinAlgError

from med_stylesr.geometry import Affine, VoxelGrid, lps_to_ras

_MM_PER_UNIT: Final = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_SCANNER: Final = 1
"""NIFTI_XFORM_SCANNER_ANAT: the affine gives scanner coordinates."""
_SAME_PLACE: Final = 0.1
"""Share of a voxel that the two may differ: more than what the 32-bit numbers of a quaternion cannot tell."""

Forms = Mapping[str, Any]
"""JSON-able: `affine` that was taken, and `sform`, `sform_code`, `qform`, `qform_code`; all 4x4 to RAS mm or None."""


def affine_of(image: Any) -> Affine:
    """Voxels (i, j, k, 1) to RAS mm as nibabel takes it: the sform if its code is set, else the qform, else sizes."""
    return _in_mm(image.affine, image.header)


def forms_of(image: Any) -> Forms | None:
    """Both transforms of an image, for `set_forms`; None if it has neither."""
    header = image.header
    sform, qform = _coded(header, "sform"), _coded(header, "qform")
    if sform is None and qform is None:
        return None
    return {
        "affine": affine_of(image).tolist(),
        "sform": None if sform is None else sform.tolist(),
        "sform_code": 0 if sform is None else int(header["sform_code"]),
        "qform": None if qform is None else qform.tolist(),
        "qform_code": 0 if qform is None else int(header["qform_code"]),
    }


def warnings_of(forms: Forms | None, shape: tuple[int, ...]) -> list[str]:
    """What is odd about the place of an image with `shape` voxels (i, j, k)."""
    if forms is None:
        return ["neither sform nor qform is set: position and orientation are assumed to be RAS"]
    if forms["sform"] is None or forms["qform"] is None:
        return []
    sform, qform = np.asarray(forms["sform"]), np.asarray(forms["qform"])
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in shape[:3]))])
    apart = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    if apart <= _SAME_PLACE * float(np.linalg.norm(sform[:3, :3], axis=0).min()):
        return []
    return [f"sform and qform place it up to {apart:.3g} mm apart; the sform is used"]


def set_forms(header: Any, grid: VoxelGrid, forms: Forms | None) -> None:
    """Place the voxels of a header: on `grid`, by the transforms that the source had if `forms` tells them.

    Args:
        header: NIfTI header, in mm.
        grid: of the voxels.
        forms: of the source. Whatever led from its grid to this one is done to both of its transforms.
    """
    affine = lps_to_ras(grid.affine)
    if forms is None:
        header.set_sform(affine, code=_SCANNER)
        # A quaternion cannot hold a shear; readers must then use the sform.
        header.set_qform(affine, code=0 if grid.is_sheared else _SCANNER, strip_shears=True)
        return
    change = np.linalg.inv(np.asarray(forms["affine"])) @ affine
    sform, qform = (None if forms[name] is None else np.asarray(forms[name]) @ change for name in ("sform", "qform"))
    header.set_sform(sform, code=forms["sform_code"])
    # Without a qform of its own it still has to tell the voxel sizes.
    header.set_qform(affine if qform is None else qform, code=forms["qform_code"], strip_shears=True)


def _coded(header: Any, name: str) -> Affine | None:
    """The transform if its code says that it is one and its numbers do."""
    try:
        affine, _ = header.get_sform(coded=True) if name == "sform" else header.get_qform(coded=True)
        if affine is None or not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
            return None
    except (HeaderDataError, LinAlgError, ValueError):
        return None
    return _in_mm(affine, header)


def _in_mm(affine: Any, header: Any) -> Affine:
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3] *= _MM_PER_UNIT.get(header.get_xyzt_units()[0], 1.0)
    return scaled
