"""Volumes in a scene, of every kind of geometry there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from MedStyleSRLib.volumes import LPS_TO_RAS, affine_of, fill

AFFINES = {
    "anisotropic": np.diag([0.7, 0.7, 5.0, 1.0]),
    "oblique": np.array([[0.6, -0.2, 0.3, 10], [0.2, 0.6, 0.1, -5], [-0.1, 0.1, 2.0, 40], [0, 0, 0, 1.0]]),
    "left-handed": np.diag([0.7, 0.7, -2.5, 1.0]),
    "gantry tilt": np.array([[0.5, 0, 0, 1], [0, 0.5, 0.8, 2], [0, 0, 2.4, 3], [0, 0, 0, 1.0]]),
}


def hu(shape: tuple[int, int, int] = (5, 32, 40)) -> np.ndarray:
    """Voxels that are all different from their neighbours."""
    return np.random.default_rng(11).integers(-200, 300, shape).astype(np.int16)


def volume(kind: str = "oblique", voxels: np.ndarray | None = None, name: str = "Chest") -> Any:
    """A scalar volume node of the scene, with a window of its own."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    fill(node, hu() if voxels is None else voxels, AFFINES[kind])
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(1500, -600)
    node.GetDisplayNode().SetAndObserveColorNodeID(colours().GetID())
    return node


def colours() -> Any:
    """A colour table that is not the default."""
    found = slicer.mrmlScene.GetFirstNodeByName("My colours")
    if found is None:
        found = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "My colours")
        found.SetTypeToInferno() if hasattr(found, "SetTypeToInferno") else found.SetTypeToGrey()
    return found


def transform(node: Any, matrix: np.ndarray) -> Any:
    """Put a node under a linear transform."""
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Table")
    parent.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(parent.GetID())
    return parent


def view(name: str = "Red") -> tuple[Any, Any]:
    """A slice view's nodes, looking along the body axis at the origin."""
    node = slicer.vtkMRMLSliceNode()
    node.SetName(name)
    node.SetLayoutName(name)
    node.SetSingletonTag(name)
    # Views outlive a scene: then the one there is comes back.
    node = slicer.mrmlScene.AddNode(node)
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetLayoutName(name)
    composite.SetSingletonTag(name)
    return node, slicer.mrmlScene.AddNode(composite)


def look_at(
    view_node: Any, node: Any, ijk: tuple[float, float, float], to_world: np.ndarray | None = None, across: bool = False
) -> None:
    """Centre a view on a voxel of a volume, in the plane of its slices or across them."""
    affine = LPS_TO_RAS @ affine_of(node)
    if to_world is not None:
        affine = to_world @ affine
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    if across:
        axes = axes[:, [1, 2, 0]]
    to_ras = np.eye(4)
    to_ras[:3, :3], to_ras[:3, 3] = axes, (affine @ [*ijk, 1])[:3]
    view_node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(to_ras))
    view_node.UpdateMatrices()
