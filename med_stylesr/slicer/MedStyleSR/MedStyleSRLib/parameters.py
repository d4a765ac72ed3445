"""What the panel is set to, kept in the scene: saved and loaded with it."""

from typing import Annotated

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

BY_EYE, DOSE, NOISE = "by-eye", "dose", "noise"
"""What decides on the strength: the slider, a dose fraction, a noise level."""
KEEP, FACTORS, SPACING = "keep", "factors", "spacing"
"""What decides on the resolution."""


@parameterNodeWrapper
class MedStyleSRParameterNode:
    """Settings of one enhancement.

    Attributes:
        inputVolume: what to enhance.
        outputVolume: node for the result; none makes a new one.
        roi: region of interest.
        region: "whole", "roi" or "slice".
        style: style of the bundle.
        bundle: folder of a bundle; empty for the shipped one.
        strengthBy: BY_EYE, DOSE or NOISE.
        strength: 0 … 1.
        dose: fraction of normal dose.
        targetNoise: HU.
        resolution: KEEP, FACTORS or SPACING.
        factorSlices: factor between slices.
        factorPixels: factor within slices.
        spacingSlices: mm between slices.
        spacingPixels: mm within slices.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    roi: vtkMRMLMarkupsROINode
    region: str = "whole"
    style: str = "normal-dose"
    bundle: str = ""
    strengthBy: str = BY_EYE
    strength: Annotated[float, WithinRange(0, 1)] = 1.0
    dose: Annotated[float, WithinRange(0.01, 1)] = 0.25
    targetNoise: Annotated[float, WithinRange(0.5, 200)] = 12.0
    resolution: str = KEEP
    factorSlices: Annotated[int, WithinRange(1, 5)] = 1
    factorPixels: Annotated[int, WithinRange(1, 4)] = 2
    spacingSlices: Annotated[float, WithinRange(0.1, 20)] = 1.0
    spacingPixels: Annotated[float, WithinRange(0.05, 5)] = 0.5
