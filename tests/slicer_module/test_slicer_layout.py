"""What Slicer's own code makes of our layout and of our entry in its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slicer


@pytest.mark.parametrize("views", [2, 3])
def test_slicer_s_layout_logic_makes_the_views_that_the_layout_describes(scene: Any, views: int) -> None:
    import slicer
    from MedStyleSRLib import compare
    from scene_volumes import volume

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    logic.GetLayoutNode().SetViewArrangement(3)
    source, result = volume(), volume(name="Result")
    difference = volume(name="Difference") if views == 3 else None
    assert compare.show(logic.GetLayoutNode(), source, result, difference) == 3
    shown = logic.GetViewNodes()
    names = [shown.GetItemAsObject(i).GetLayoutName() for i in range(shown.GetNumberOfItems())]
    assert names == [tag for tag, _label in compare.VIEWS][:views]
    # Shown again, the layout to go back to is still the user's.
    assert compare.show(logic.GetLayoutNode(), source, result, difference) is None


def test_qt_reads_the_module_s_folder_from_the_settings_as_one_of_the_list(tmp_path: Path) -> None:
    from PySide6.QtCore import QSettings

    from med_stylesr.service.slicer_setup import add_module

    path, module = tmp_path / "Slicer-34045.ini", Path("/opt/my env/med_stylesr/slicer/MedStyleSR")
    settings = QSettings(str(path), QSettings.Format.IniFormat)
    settings.setValue("Modules/AdditionalPaths", ["<APPLICATION_HOME_DIR>/a", "/with, comma/b", "/c"])
    settings.setValue("Extensions/Other", "x=1; y")
    settings.sync()
    assert add_module(path, module)
    again = QSettings(str(path), QSettings.Format.IniFormat)
    assert again.value("Modules/AdditionalPaths") == ["<APPLICATION_HOME_DIR>/a", "/with, comma/b", "/c", str(module)]
    assert again.value("Extensions/Other") == "x=1; y"
