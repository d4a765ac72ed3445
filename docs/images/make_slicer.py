"""Pictures of the Slicer module for the documentation: the panel by Qt without a display, slices by Slicer's pipeline.

Needs the extras `slicer` and `report`. Run from the checkout: python docs/images/make_slicer.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ["QT_QPA_PLATFORM"] = "offscreen"
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "slicer_module"), str(ROOT / "med_stylesr" / "slicer" / "MedStyleSR")]
OUT = Path(__file__).parent
SAMPLE = ROOT / "tests" / "data" / "lidc_idri_0001" / "quarter_dose"
SLICES = slice(7, 10)
FIELD_MM, BELOW_MIDDLE_MM = 190.0, 35.0
"""What the compared slices show: the spine and the shoulders, where a quarter of the dose shows most."""


def wait(fact: Any) -> None:
    """Let the GUI live until something is so."""
    import slicer

    while not fact():
        slicer.app.processEvents()
        time.sleep(0.01)


def scan() -> Any:
    """The sample's simulated quarter-dose scan as a volume node."""
    import slicer
    from MedStyleSRLib.volumes import fill

    from med_stylesr.service.reading import read_single

    volume = read_single(SAMPLE)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Chest, quarter dose")
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(400, 40)
    fill(node, volume.hu[SLICES].copy(), volume.affine)
    return node


def slice_picture(node: Any, size: int) -> np.ndarray:
    """A slice of a volume as Slicer's slice pipeline draws it, (size, size, 3)."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    name = f"Picture{node.GetID()}"
    logic.AddSliceNode(name)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
    view = logic.GetSliceNode()
    view.RotateToVolumePlane(node)
    view.SetDimensions(size, size, 1)
    logic.FitSliceToBackground(size, size)
    view.SetFieldOfView(FIELD_MM, FIELD_MM, view.GetFieldOfView()[2])
    middle = view.GetSliceToRAS()
    middle.SetElement(1, 3, middle.GetElement(1, 3) - BELOW_MIDDLE_MM)
    view.UpdateMatrices()
    logic.SnapSliceOffsetToIJK()
    logic.GetBlend().Update()
    image = logic.GetBlend().GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return pixels[::-1, :, :3]


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as folder:
        from slicer_application import install

        install(Path(folder))
        import MedStyleSR
        import qt
        import slicer

        colours = slicer.vtkMRMLColorLogic()
        colours.SetMRMLScene(slicer.mrmlScene)
        parent = slicer.qMRMLWidget()
        parent.setLayout(qt.QVBoxLayout())
        panel = MedStyleSR.MedStyleSRWidget(parent)
        panel.setup()
        parent.resize(470, 800)
        parent.show()
        source = scan()
        panel.ui.applyButton.click()
        wait(lambda: panel.enhance_panel.enhancement.slices[0] > 0 or not panel.enhance_panel.running)
        wait(lambda: not panel.enhance_panel.running)
        if panel.enhance_panel.enhancement.problem:
            raise panel.enhance_panel.enhancement.problem
        slicer.app.processEvents()
        parent.grab().save(str(OUT / "slicer-panel.png"))
        print(panel.ui.statusLabel.text, panel.ui.noiseLabel.text)
        enhancement = panel.enhance_panel.enhancement
        from MedStyleSRLib.compare import difference_volume

        difference = difference_volume(enhancement.node, enhancement.live.blend, enhancement.result.affine)
        enhancement.live.follow_with(difference, 0)
        while enhancement.live.step(1.0):
            pass
        from PIL import Image

        three = [slice_picture(node, 420) for node in (source, enhancement.node, difference)]
        Image.fromarray(np.concatenate(three, axis=1)).save(OUT / "slicer-compare.png", optimize=True)
        batch(panel, parent, Path(folder))
        panel.ui.tabs.currentIndex = 2
        slicer.app.processEvents()
        parent.grab().save(str(OUT / "slicer-settings.png"))
        panel.cleanup()


def batch(panel: Any, parent: Any, folder: Path) -> None:
    """The Batch tab after a run over pieces of the sample, a damaged file and a text file."""
    import slicer

    from med_stylesr.io.volume_file import write_volume_file
    from med_stylesr.service.reading import read_single
    from med_stylesr.volume import CTVolume

    volume = read_single(SAMPLE)
    scans = folder / "scans"
    scans.mkdir()
    for name, rows in (("upper.nrrd", slice(160, 288)), ("lower.nii.gz", slice(256, 384))):
        piece = CTVolume(volume.hu[SLICES, rows, 192:320].copy(), volume.affine, {})
        write_volume_file(piece, scans / name)
    damaged = (scans / "upper.nrrd").read_bytes()[:2000]
    (scans / "damaged.nrrd").write_bytes(damaged)
    (scans / "notes.txt").write_text("no scan")
    panel.ui.tabs.currentIndex = 1
    panel.ui.batchSource.currentPath = str(scans)
    panel.ui.batchStart.click()
    wait(lambda: panel.ui.batchStart.enabled)
    for path in (panel.ui.batchSource, panel.ui.batchDest):
        path.currentPath = path.currentPath.replace(str(folder), "/data")
    slicer.app.processEvents()
    parent.grab().save(str(OUT / "slicer-batch.png"))


if __name__ == "__main__":
    main()
