"""The input at the resolution of a super-resolved result: what the engine gives at strength 0.

Cubic convolution (a = −1/2) over the same field of view, corrected once so that every block of fine voxels averages to
its coarse one; first between slices, then within them. Values that are no HU of tissue (padding, metal) are repeated.

Source: Keys, IEEE Trans. ASSP 29 (1981) 1153, doi:10.1109/TASSP.1981.1163711, eq. 15; Irani & Peleg 1991,
doi:10.1016/1049-9652(91)90045-L (back-projection).
"""

import numpy as np

HU_RANGE = (-1024.0, 3071.0)
"""What the engine treats as HU; values outside pass through it."""
_REACH = 2
_ROWS = 32
"""Rows that are interpolated between slices at once, to bound memory."""


def finer(voxels, factors, tell=lambda: None):
    """Interpolate a volume.

    Args:
        voxels: HU (slices, rows, columns).
        factors: whole factors (slices, rows, columns).
        tell: called now and then; may raise to break off.

    Returns:
        float32 of the finer shape.
    """
    between, rows, columns = factors
    stack = voxels
    if between > 1:
        stack = np.empty((voxels.shape[0] * between, *voxels.shape[1:]), np.float32)
        for start in range(0, voxels.shape[1], _ROWS):
            band = np.asarray(voxels[:, start : start + _ROWS], dtype=np.float32)
            stack[:, start : start + _ROWS] = _between(band, between)
            tell()
    if rows == columns == 1:
        return np.asarray(stack, dtype=np.float32)
    result = np.empty((stack.shape[0], stack.shape[1] * rows, stack.shape[2] * columns), np.float32)
    for number, plane in enumerate(stack):
        fine = np.asarray(plane, dtype=np.float32)
        if rows == columns:
            result[number] = _refined(fine, (0, 1), rows)
        else:
            result[number] = _refined(_refined(fine, (0,), rows), (1,), columns)
        tell()
    return result


def _between(coarse, factor):
    """Finer along the first axis, as the engine does it: values that pass through count in the correction too."""
    known, axis = np.clip(coarse, *HU_RANGE), (0,)
    outside, same = _repeated(known != coarse, axis, factor), _repeated(coarse, axis, factor)
    fine = np.where(outside, same, _cubic(known, axis, factor))
    return np.where(outside, same, fine + _cubic(coarse - _averaged(fine, axis, factor), axis, factor))


def _refined(coarse, axes, factor):
    """Finer along some axes: corrected first, then the values that pass through."""
    known = np.clip(coarse, *HU_RANGE)
    fine = _cubic(known, axes, factor)
    fine += _cubic(known - _averaged(fine, axes, factor), axes, factor)
    outside = known != coarse
    if outside.any():
        fine = np.where(_repeated(outside, axes, factor), _repeated(coarse, axes, factor), fine)
    return fine


def _cubic(x, axes, factor):
    for axis in axes:
        moved = np.moveaxis(x, axis, -1)
        padded = np.pad(moved, [(0, 0)] * (x.ndim - 1) + [(_REACH, _REACH)], mode="edge")
        length = moved.shape[-1]
        phases = [
            sum(weight * padded[..., tap : tap + length] for tap, weight in enumerate(taps) if weight)
            for taps in _weights(factor)
        ]
        x = np.moveaxis(np.stack(phases, axis=-1).reshape(*moved.shape[:-1], length * factor), -1, axis)
    return x


def _weights(factor):
    """One row of five weights for each of the fine positions of a coarse voxel."""
    phase = (np.arange(factor) + 0.5) / factor - 0.5
    distance = np.abs(np.arange(-_REACH, _REACH + 1)[None] - phase[:, None])
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)).astype(np.float32)


def _averaged(x, axes, factor):
    for axis in axes:
        shape = [*x.shape[:axis], x.shape[axis] // factor, factor, *x.shape[axis + 1 :]]
        x = x.reshape(shape).mean(axis=axis + 1)
    return x


def _repeated(x, axes, factor):
    for axis in axes:
        x = np.repeat(x, factor, axis=axis)
    return x
