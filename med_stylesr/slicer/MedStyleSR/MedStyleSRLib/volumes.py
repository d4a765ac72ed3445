"""Volume nodes of the scene: their voxels and affines, and a result's place beside its source.

Slicer's world is RAS, the engine's files are LPS.
"""

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .i18n import _
from .problems import EngineProblem

SOURCE_ROLE = "MedStyleSR.Source"
"""Node reference from a result to the volume it was made of."""
FACTS_ATTRIBUTE = "MedStyleSR.Facts"
"""Node attribute with what was done, as JSON; saved with the scene."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def voxels_of(node):
    """The voxels of a volume node, (slices, rows, columns), not copied.

    Raises:
        EngineProblem: if there are none, or several values a voxel.
    """
    if node is None:
        raise EngineProblem(_("input volume"), _("none is chosen"), _("choose one, or load a scan first"))
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise EngineProblem(node.GetName(), _("has no voxels"), _("choose another volume or load it again"))
    if image.GetNumberOfScalarComponents() != 1:
        raise EngineProblem(node.GetName(), _("has several values a voxel"), _("choose a CT volume"))
    return slicer.util.arrayFromVolume(node)


def in_scene(scene, node):
    """Whether a node is (still) part of a scene. Ids alone do not tell: a new scene gives them out again."""
    return node is not None and node.GetID() is not None and scene.GetNodeByID(node.GetID()) is node


def affine_of(node):
    """4x4 from (column, row, slice, 1) to LPS mm, within the node's own coordinates (its transform not applied)."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return LPS_TO_RAS @ slicer.util.arrayFromVTKMatrix(matrix)


def fill(node, voxels, affine):
    """Give a volume node voxels (copied) and a place.

    Args:
        node: volume node; whatever it held is replaced.
        voxels: (slices, rows, columns).
        affine: 4x4 to LPS mm.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.AllocateScalars(numpy_support.get_vtk_array_type(voxels.dtype), 1)
    scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    np.copyto(scalars.reshape(voxels.shape), voxels)
    with slicer.util.NodeModify(node):
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(LPS_TO_RAS @ affine))
        # An image of its own: that of an existing node may be shared with other nodes.
        node.SetAndObserveImageData(image)


def new_volume(name, source):
    """An empty volume node beside its source: same transform, look, and place in the subject hierarchy.

    Args:
        name: its name; made unique.
        source: volume node.
    """
    scene = source.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    look_like(node, source)
    place_beside(node, source)
    return node


def look_like(node, source):
    """Copy window, level, threshold and colours, before voxels come and Slicer would guess them."""
    node.CreateDefaultDisplayNodes()
    theirs, ours = source.GetDisplayNode(), node.GetDisplayNode()
    if theirs is None or ours is None:
        return
    with slicer.util.NodeModify(ours):
        ours.SetAutoWindowLevel(0)
        ours.SetWindowLevel(theirs.GetWindow(), theirs.GetLevel())
        ours.SetAndObserveColorNodeID(theirs.GetColorNodeID())
        ours.SetInterpolate(theirs.GetInterpolate())
        ours.SetAutoThreshold(0)
        ours.SetThreshold(theirs.GetLowerThreshold(), theirs.GetUpperThreshold())
        ours.SetApplyThreshold(theirs.GetApplyThreshold())


def place_beside(node, source):
    """Same parent transform, a reference to the source, and the source's folder in the subject hierarchy."""
    node.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    node.SetNodeReferenceID(SOURCE_ROLE, source.GetID())
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(source.GetScene())
    if tree is None:
        return
    item, beside = tree.GetItemByDataNode(node), tree.GetItemByDataNode(source)
    if item and beside:
        tree.SetItemParent(item, tree.GetItemParent(beside))
    elif beside:
        # The application makes an item for every node that is added; without its panels nobody does.
        tree.CreateItem(tree.GetItemParent(beside), node)


def corners_lps(node, roi):
    """Corners of a region of interest in the coordinates of a volume (both may be transformed), (8, 3) LPS mm."""
    size = np.array(roi.GetSize())
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    back = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), back)
    world = unit @ to_world[:3, :3].T + to_world[:3, 3]
    return np.array([back.TransformPoint(point) for point in world]) @ LPS_TO_RAS[:3, :3]
