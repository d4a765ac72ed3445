"""Which part of a volume is enhanced: all of it, a region of interest, or the slice that is looked at."""

import numpy as np
import slicer
import vtk

from .box import Box, box_around
from .i18n import _
from .problems import EngineProblem
from .volumes import LPS_TO_RAS, affine_of, corners_lps, voxels_of

WHOLE, ROI, SLICE = "whole", "roi", "slice"


def box_for(region, node, roi, slice_node=None):
    """The wanted `Box` of a volume.

    Args:
        region: WHOLE, ROI or SLICE.
        node: volume node.
        roi: markups ROI node; only looked at for ROI.
        slice_node: slice view node; only looked at for SLICE; None takes the best view there is.

    Raises:
        EngineProblem: if there is no such part.
    """
    shape = voxels_of(node).shape
    if region == WHOLE:
        return Box.whole(shape)
    if region == ROI:
        return _roi_box(node, roi, shape)
    number = slice_looked_at(node, slice_node or view_along_slices(node))
    return Box((number, 0, 0), (number + 1, *shape[1:]))


def view_along_slices(node):
    """The slice view that shows the acquired slices best: its normal is nearest to theirs. None without views."""
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    affine, middle = LPS_TO_RAS @ affine_of(node), [n / 2 for n in voxels_of(node).shape[::-1]]
    steps = ([0, 0, 0], [1, 0, 0], [0, 1, 0])
    origin, along_row, along_column = (
        np.array(to_world.TransformPoint((affine @ [*np.add(middle, step), 1])[:3])) for step in steps
    )
    normal = np.cross(along_row - origin, along_column - origin)

    def across(view):
        return abs(slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 2] @ normal)

    views = slicer.util.getNodesByClass("vtkMRMLSliceNode", node.GetScene())
    return max(views, key=across) if views else None


def slice_looked_at(node, view):
    """Number of the acquired slice in the middle of a view; the middle one without a view.

    Raises:
        EngineProblem: if the view looks beside the volume.
    """
    slices = voxels_of(node).shape[0]
    if view is None:
        return slices // 2
    middle = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 3]
    back = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), back)
    local = LPS_TO_RAS[:3, :3] @ np.array(back.TransformPoint(middle))
    affine = affine_of(node)
    # Along the normal of the slices: where in the plane the view is centred does not matter, even if they are sheared.
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    number = (local - affine[:3, 3]) @ normal / (affine[:3, 2] @ normal)
    if not -0.5 <= number <= slices - 0.5:
        why = _("the view {view} shows no slice of it").format(view=view.GetLayoutName() or view.GetName())
        raise EngineProblem(node.GetName(), why, _("scroll the view into the volume"))
    return int(np.clip(np.floor(number + 0.5), 0, slices - 1))


def _roi_box(node, roi, shape):
    if roi is None:
        raise EngineProblem(_("region of interest"), _("none is chosen"), _("choose one or make one in Markups"))
    if roi.GetNumberOfControlPoints() == 0 or min(roi.GetSize()) <= 0:
        raise EngineProblem(roi.GetName(), _("is empty"), _("place it in a slice view first"))
    box = box_around(corners_lps(node, roi), affine_of(node), shape)
    if min(box.shape) <= 0:
        raise EngineProblem(roi.GetName(), _("lies outside of the volume"), _("move it onto the scan"))
    return box
