"""The module's self-test: an oblique volume made here goes through the engine and must come back in its place."""

import numpy as np
import slicer

from .volumes import SOURCE_ROLE, affine_of, fill, voxels_of

_OBLIQUE = np.array([[0.8, 0.1, 0.2, -20.0], [-0.1, 0.8, 0.1, 30.0], [0.0, -0.1, 2.0, 5.0], [0, 0, 0, 1]])


def noisy_disk(slices=3, size=64, noise_hu=30.0, radius=0.42):
    """A disk of soft tissue in air with noise, int16 (slices, size, size); its radius is a share of the size."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    inside = rows**2 + columns**2 < (radius * size) ** 2
    clean = np.where(inside, 40.0, -1000.0)
    noise = np.random.default_rng(7).normal(0, noise_hu, (slices, size, size))
    return np.rint(clean + noise).astype(np.int16)


def run_self_test(logic):
    """Enhance, and check noise, place and the two ends of the strength.

    Args:
        logic: `MedStyleSRLogic`.

    Raises:
        AssertionError: if something is not as it should be.
    """
    source = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "MedStyleSR self-test")
    fill(source, noisy_disk(), _OBLIQUE)
    before = voxels_of(source).copy()
    result = logic.enhance(source)
    _require(np.allclose(affine_of(result), _OBLIQUE), "the result lies elsewhere")
    _require(result.GetNodeReference(SOURCE_ROLE) is source, "the result does not know its source")
    # Away from the edge, where the smallest of noise becomes the largest of differences.
    soft = noisy_disk(noise_hu=0.0, radius=0.3) > -500
    _require(voxels_of(result)[soft].std() < 0.9 * before[soft].std(), "no noise was removed")
    _require(abs(voxels_of(result)[soft].mean() - before[soft].mean()) < 1, "HU have moved")
    _require((voxels_of(source) == before).all(), "the input was written to")
    untouched = logic.enhance(source, strength=0)
    _require((voxels_of(untouched) == before).all(), "strength 0 is not the input")


def _require(fact, otherwise):
    if not fact:
        raise AssertionError(otherwise)
