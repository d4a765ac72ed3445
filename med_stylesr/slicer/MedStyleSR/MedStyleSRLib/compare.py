"""Input, result and difference side by side in linked slice views."""

import numpy as np
import slicer

from .i18n import _
from .volumes import fill, look_like, new_volume, place_beside

LAYOUT = 2605
"""Id of the layout; Slicer's own stay below 1000."""
VIEWS = (("MedStyleSRInput", "I"), ("MedStyleSRResult", "R"), ("MedStyleSRDifference", "D"))
"""Singleton tag and label of the views."""
DIFFERENCE_WINDOW_HU = 60.0
DIFFERENCE_ROLE = "MedStyleSR.Difference"
_COLOURS = ("#9A9A9A", "#1F8A70", "#C0563B")


def layout_xml(with_difference):
    """Description of the layout, as a layout node takes it."""
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property></view></item>'
        for (tag, label), colour in list(zip(VIEWS, _COLOURS))[: 3 if with_difference else 2]
    )
    return f'<layout type="horizontal" split="true">{views}</layout>'


def difference_volume(result, blend, affine):
    """The volume that shows what was changed, made once a result: grey is zero, black and white are ±30 HU.

    Args:
        result: volume node of the result.
        blend: its `Blend`.
        affine: its grid, to LPS mm.

    Returns:
        The volume node; its voxels are zero until a `LiveBlend` fills them.
    """
    node = result.GetNodeReference(DIFFERENCE_ROLE)
    if node is None:
        node = new_volume(_("{name} difference").format(name=result.GetName()), result)
        result.SetNodeReferenceID(DIFFERENCE_ROLE, node.GetID())
    look_like(node, result)
    place_beside(node, result)
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(0)
    display.SetWindowLevel(DIFFERENCE_WINDOW_HU, 0)
    display.SetApplyThreshold(0)
    fill(node, np.zeros(blend.shape, blend.dtype), affine)
    return node


def show(layout_node, volume, result, difference=None):
    """Switch to the layout and put the volumes into its views.

    Args:
        layout_node: the scene's layout node.
        volume: input volume node.
        result: result volume node.
        difference: difference volume node, or None for two views.

    Returns:
        Id of the layout there was before.
    """
    before = layout_node.GetViewArrangement()
    layout, scene = LAYOUT + (difference is not None), volume.GetScene()
    if not layout_node.IsLayoutDescription(layout):
        layout_node.AddLayoutDescription(layout, layout_xml(difference is not None))
    layout_node.SetViewArrangement(layout)
    for (tag, _label), node in zip(VIEWS, (volume, result, difference)):
        composite = view_node(scene, "vtkMRMLSliceCompositeNode", tag)
        if composite is None or node is None:
            continue
        # Linked views copy what is chosen in one to the others, so link only afterwards.
        composite.SetLinkedControl(0)
        composite.SetBackgroundVolumeID(node.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
    for tag, _label in VIEWS:
        composite = view_node(scene, "vtkMRMLSliceCompositeNode", tag)
        if composite is not None:
            composite.SetLinkedControl(1)
            composite.SetHotLinkedControl(1)
        view = view_node(scene, "vtkMRMLSliceNode", tag)
        if view is not None:
            view.RotateToVolumePlane(volume)
    return before if before not in (LAYOUT, LAYOUT + 1) else None


def view_node(scene, class_name, tag):
    """The slice or composite node of one of the layout's views, or None."""
    for node in slicer.util.getNodesByClass(class_name, scene):
        if tag in (node.GetLayoutName(), node.GetSingletonTag()):
            return node
    return None


def overlay(view, preview):
    """Show a preview over what a slice view shows; None takes it away again.

    Args:
        view: slice node of the view.
        preview: volume node, or None.
    """
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", view.GetScene()):
        if composite.GetLayoutName() == view.GetLayoutName():
            composite.SetForegroundVolumeID(preview.GetID() if preview is not None else None)
            composite.SetForegroundOpacity(1.0 if preview is not None else 0.0)
