"""The panel as a user meets it: clicks, keys, a slider, and everything that may happen while the engine works."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slicer_fake_engine import REMOVED, alive

pytestmark = pytest.mark.slicer


def click(widget: Any) -> None:
    """A real click of the left button."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def press(widget: Any, key: str, control: bool = False) -> None:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    held = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
    QTest.keyClick(widget, getattr(Qt.Key, key), held)


@pytest.fixture
def source(panel: Any, until: Any) -> Any:
    """A volume that has been loaded and is chosen."""
    from scene_volumes import volume

    node = volume()
    until(lambda: panel.ui.inputSelector.currentNode() is node)
    return node


def voxels(node: Any) -> np.ndarray:
    from MedStyleSRLib.volumes import voxels_of

    return voxels_of(node)


def volumes() -> list[Any]:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


def engines(tmp_path: Path) -> list[int]:
    return [int(pid) for pid in (tmp_path / "pids").read_text().split()]


def hanging(panel: Any, engine: Any, until: Any, tmp_path: Path) -> list[int]:
    """Start an engine that does not stop by itself; its process ids."""
    engine("hang")
    click(panel.ui.applyButton)
    until(lambda: panel.enhance_panel.enhancement.slices[1] > 0)
    return engines(tmp_path)


def test_without_a_volume_nothing_can_be_applied_and_the_line_says_why(panel: Any) -> None:
    assert not panel.ui.applyButton.enabled
    assert panel.ui.statusLabel.text == "Choose an input volume."
    click(panel.ui.applyButton)
    assert panel.enhance_panel.enhancement is None


def test_apply_shows_progress_and_brings_a_volume_with_its_measurements(
    panel: Any, source: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE_SECONDS", "1.5")
    click(panel.ui.applyButton)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.cancelButton.enabled
    until(lambda: "slice 3 of 5" in panel.ui.statusLabel.text)
    assert panel.ui.progressBar.visible
    assert panel.ui.progressBar.value == 3
    assert "left" in panel.ui.statusLabel.text
    until(lambda: not panel.enhance_panel.running)
    assert panel.ui.statusLabel.text.startswith("Done in ")
    result = panel.ui.outputSelector.currentNode()
    assert result.GetName() == "Chest enhanced"
    np.testing.assert_array_equal(voxels(result), voxels(source) + int(REMOVED))
    assert panel.ui.noiseLabel.text == "Noise in soft tissue: 30.0 → 12.0 HU (-60 %)"
    assert panel.ui.shiftTable.item(0, 1).text() == "+0.50"
    assert panel.ui.applyButton.enabled
    assert not panel.ui.cancelButton.enabled
    assert not panel.ui.progressBar.visible
    assert list((tmp_path / "scratch").iterdir()) == []


def test_twice_in_a_row_the_second_result_replaces_the_first_in_its_volume(panel: Any, source: Any, until: Any) -> None:
    for _ in range(2):
        click(panel.ui.applyButton)
        until(lambda: not panel.enhance_panel.running)
        assert panel.ui.statusLabel.text.startswith("Done"), panel.ui.statusLabel.text
    assert len(volumes()) == 2


def test_the_slider_blends_the_result_without_another_run_and_the_measurements_follow(
    panel: Any, source: Any, until: Any, tmp_path: Path
) -> None:
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    result = panel.enhance_panel.enhancement.node
    for strength in (0.5, 0.0, 0.8):
        panel.ui.strengthSlider.value = strength
        until(lambda: not panel.enhance_panel.enhancement.live.busy)
        np.testing.assert_array_equal(voxels(result), voxels(source) + round(REMOVED * strength))
        assert panel.ui.shiftTable.item(0, 1).text() == f"{0.5 * strength:+.2f}"
    assert panel.enhance_panel.parameters.strength == 0.8
    # The next run begins where the slider is.
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    np.testing.assert_array_equal(voxels(result), voxels(source) + round(REMOVED * 0.8))


def test_where_blending_would_not_be_true_the_slider_asks_for_another_run(panel: Any, source: Any, until: Any) -> None:
    panel.ui.resolutionCombo.currentIndex = 1
    panel.ui.factorSlices.value = 2
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    result = panel.enhance_panel.enhancement.node
    before = voxels(result).copy()
    assert before.shape == (10, 64, 80)
    panel.ui.strengthSlider.value = 0.5
    assert "press Apply" in panel.ui.statusLabel.text
    assert not panel.enhance_panel.enhancement.live.busy
    np.testing.assert_array_equal(voxels(result), before)


def test_a_solved_strength_moves_the_slider_there(panel: Any, source: Any, until: Any) -> None:
    from MedStyleSRLib.parameters import DOSE

    panel.ui.strengthByCombo.currentIndex = 1
    assert panel.enhance_panel.parameters.strengthBy == DOSE
    assert panel.ui.doseSpin.visible
    assert not panel.ui.strengthSlider.enabled
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    assert panel.ui.strengthSlider.value == 0.5
    result = panel.enhance_panel.enhancement.node
    np.testing.assert_array_equal(voxels(result), voxels(source) + int(REMOVED / 2))


@pytest.mark.parametrize("way", ["button", "key"])
def test_cancel_stops_at_once_leaves_no_process_no_file_and_no_volume(
    panel: Any, source: Any, engine: Any, until: Any, tmp_path: Path, way: str
) -> None:
    pids = hanging(panel, engine, until, tmp_path)
    assert all(alive(pid) for pid in pids)
    if way == "button":
        click(panel.ui.cancelButton)
    else:
        panel.ui.regionCombo.setFocus()
        press(panel.ui.regionCombo, "Key_Escape")
    begun = time.monotonic()
    until(lambda: not panel.enhance_panel.running)
    assert time.monotonic() - begun < 3
    assert not any(alive(pid) for pid in pids)
    assert panel.ui.statusLabel.text == "cancelled; the scene is as it was"
    assert volumes() == [source]
    assert list((tmp_path / "scratch").iterdir()) == []
    engine("fine")
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    assert panel.ui.statusLabel.text.startswith("Done")


def test_the_gui_lives_while_the_engine_works(panel: Any, source: Any, engine: Any, until: Any, tmp_path: Path) -> None:
    """The longest time between two of its events, without what the machine's other work costs."""
    import qt

    hanging(panel, engine, until, tmp_path)
    ticks = [time.thread_time()]
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(time.thread_time()))
    timer.start(10)
    until(lambda: len(ticks) > 40)
    timer.stop()
    assert max(np.diff(ticks)) < 0.3
    click(panel.ui.cancelButton)
    until(lambda: not panel.enhance_panel.running)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("crash", "crashed (exit status -11) without a word; press Check on the Settings tab"),
        ("killed", "not enough memory; close other programs"),
        ("gpu", "0 CUDA devices; use auto or cpu; choose the device auto or cpu"),
        ("old", "is version 0.0.9, this module needs 0.1.0 or newer; run: pip install --upgrade med-stylesr"),
        ("other", "is not med-stylesr"),
    ],
)
def test_when_the_engine_fails_the_line_says_why_and_what_to_do(
    panel: Any, source: Any, engine: Any, until: Any, mode: str, told: str
) -> None:
    engine(mode)
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    assert told in panel.ui.statusLabel.text
    assert volumes() == [source]
    assert panel.ui.applyButton.enabled


def test_an_engine_that_is_not_there_is_told_with_the_way_to_one(panel: Any, source: Any, until: Any) -> None:
    panel.ui.programPath.currentPath = "/gone/med-stylesr"
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    assert "/gone/med-stylesr: does not exist; choose the med-stylesr program" in panel.ui.statusLabel.text


def test_the_input_may_be_deleted_while_the_engine_works(
    panel: Any, source: Any, scene: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE_SECONDS", "1")
    click(panel.ui.applyButton)
    until(lambda: panel.enhance_panel.enhancement.slices[0] > 1)
    scene.RemoveNode(source)
    until(lambda: not panel.enhance_panel.running)
    assert "was deleted" in panel.ui.statusLabel.text
    assert volumes() == []
    assert not panel.ui.applyButton.enabled


def test_the_scene_may_be_closed_while_the_engine_works_and_the_next_one_gets_nothing_of_it(
    panel: Any, source: Any, scene: Any, engine: Any, until: Any, tmp_path: Path
) -> None:
    from scene_volumes import volume

    pids = hanging(panel, engine, until, tmp_path)
    scene.Clear()
    # Of the same id as the one that was.
    fresh = volume("left-handed", name="Next patient")
    until(lambda: not any(alive(pid) for pid in pids))
    until(lambda: panel.ui.inputSelector.currentNode() is fresh)
    assert volumes() == [fresh]
    assert panel.enhance_panel.enhancement is None
    engine("fine")
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    assert panel.ui.statusLabel.text.startswith("Done"), panel.ui.statusLabel.text
    assert [node.GetName() for node in volumes()] == ["Next patient", "Next patient enhanced"]


def test_a_deleted_result_is_no_longer_blended_into(panel: Any, source: Any, scene: Any, until: Any) -> None:
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    scene.RemoveNode(panel.enhance_panel.enhancement.node)
    panel.ui.strengthSlider.value = 0.3
    assert panel.enhance_panel.enhancement.node is None
    assert not panel.ui.sideBySideButton.enabled


def test_ctrl_return_applies(panel: Any, source: Any, until: Any) -> None:
    panel.ui.regionCombo.setFocus()
    press(panel.ui.regionCombo, "Key_Return", control=True)
    until(lambda: panel.enhance_panel.enhancement is not None)
    until(lambda: not panel.enhance_panel.running)
    assert panel.ui.statusLabel.text.startswith("Done")


def test_a_preview_is_shown_over_its_slice_and_used_again(panel: Any, source: Any, until: Any) -> None:
    from scene_volumes import look_at, view

    red, composite = view()
    for slice_number in (3, 1):
        look_at(red, source, (10, 10, slice_number))
        panel.ui.regionCombo.currentIndex = 2
        assert panel.ui.applyButton.text == "&Preview slice"
        click(panel.ui.applyButton)
        until(lambda: not panel.enhance_panel.running)
        preview = panel.enhance_panel.enhancement.node
        assert composite.GetForegroundVolumeID() == preview.GetID()
        assert composite.GetForegroundOpacity() == 1
        np.testing.assert_array_equal(voxels(preview), voxels(source)[slice_number : slice_number + 1] + int(REMOVED))
    assert len(volumes()) == 2
    panel.ui.regionCombo.currentIndex = 0
    click(panel.ui.applyButton)
    assert composite.GetForegroundVolumeID() is None
    until(lambda: not panel.enhance_panel.running)


def test_one_button_compares_in_linked_views_another_shows_what_was_changed(
    panel: Any, source: Any, scene: Any, until: Any
) -> None:
    import slicer
    from scene_volumes import view

    views = {name: view(name) for name in ("MedStyleSRInput", "MedStyleSRResult", "MedStyleSRDifference")}
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode") or scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(3)
    click(panel.ui.applyButton)
    until(lambda: not panel.enhance_panel.running)
    result = panel.enhance_panel.enhancement.node
    click(panel.ui.sideBySideButton)
    assert layout.GetViewArrangement() > 1000
    shown = [composite.GetBackgroundVolumeID() for _, composite in views.values()]
    assert shown[:2] == [source.GetID(), result.GetID()]
    assert all(composite.GetLinkedControl() and composite.GetHotLinkedControl() for _, composite in views.values())
    click(panel.ui.differenceButton)
    assert not panel.ui.sideBySideButton.checked
    until(lambda: not panel.enhance_panel.enhancement.live.busy)
    difference = slicer.mrmlScene.GetNodeByID(views["MedStyleSRDifference"][1].GetBackgroundVolumeID())
    assert difference.GetName() == "Chest enhanced difference"
    assert (voxels(difference) == int(REMOVED)).all()
    panel.ui.strengthSlider.value = 0.5
    until(lambda: not panel.enhance_panel.enhancement.live.busy)
    assert (voxels(difference) == int(REMOVED / 2)).all()
    click(panel.ui.differenceButton)
    assert layout.GetViewArrangement() == 3


def test_device_and_runtime_are_remembered_for_the_machine_and_go_to_the_engine(panel: Any, source: Any) -> None:
    panel.ui.deviceCombo.setEditText("cpu")
    panel.ui.runtimeCombo.setCurrentText("onnx")
    request = panel.enhance_panel.request()
    assert (request.device, request.runtime) == ("cpu", "onnx")
    assert panel.logic.preferences.runtime == "onnx"
    panel.ui.runtimeCombo.setCurrentText("auto")


def test_settings_of_the_panel_are_kept_in_the_scene(panel: Any, source: Any, tmp_path: Path) -> None:
    import slicer
    from MedStyleSRLib.parameters import FACTORS

    panel.ui.resolutionCombo.currentIndex = 1
    panel.ui.factorSlices.value = 3
    panel.ui.styleCombo.setEditText("my style")
    panel.ui.bundlePath.currentPath = "/bundles/mine"
    request = panel.enhance_panel.request()
    assert (request.scale, request.style, request.bundle) == ((3, 2, 2), "my style", "/bundles/mine")
    path = tmp_path / "scene.mrml"
    slicer.mrmlScene.Commit(str(path))
    assert f"resolution {FACTORS};" in path.read_text() or FACTORS in path.read_text()


def test_the_batch_tab_lists_every_scan_with_what_became_of_it(
    panel: Any, engine: Any, until: Any, tmp_path: Path
) -> None:
    engine("batch")
    panel.ui.tabs.currentIndex = 1
    assert not panel.ui.batchStart.enabled
    (tmp_path / "scans").mkdir()
    panel.ui.batchSource.currentPath = str(tmp_path / "scans")
    assert panel.ui.batchDest.currentPath == str(tmp_path / "scans_enhanced")
    click(panel.ui.batchStart)
    until(lambda: not panel.batch_panel.running)
    until(lambda: panel.ui.batchStart.enabled)
    assert panel.ui.batchStatus.text.startswith("1 scans done, 1 failed.")
    table = panel.ui.batchTable
    assert [table.item(row, 1).text() for row in range(3)] == ["not used", "done", "failed"]
    assert table.item(2, 2).text() == "pixels are damaged"


def test_check_tells_what_the_program_says_and_a_wrong_one_in_red(panel: Any, engine: Any, until: Any) -> None:
    panel.ui.tabs.currentIndex = 2
    engine("old")
    click(panel.ui.checkButton)
    until(lambda: panel.ui.checkButton.enabled)
    assert "needs 0.1.0 or newer" in panel.ui.settingsStatus.text
    assert "Program: " in panel.ui.settingsLog.plainText


def test_every_control_has_a_tooltip_and_every_label_a_key(panel: Any) -> None:
    from PySide6 import QtWidgets

    controls = (
        QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QTableWidget,
    )  # fmt: skip
    own = [widget for name, widget in vars(panel.ui).items() if not name.startswith("qt_")]
    for widget in own:
        if isinstance(widget, controls):
            assert widget.toolTip, widget.objectName
        if isinstance(widget, QtWidgets.QLabel) and widget.buddy() is not None:
            assert "&" in widget.text, widget.text


def test_when_the_module_goes_what_runs_is_stopped(
    panel: Any, source: Any, engine: Any, until: Any, tmp_path: Path
) -> None:
    pids = hanging(panel, engine, until, tmp_path)
    panel.cleanup()
    until(lambda: not any(alive(pid) for pid in pids))
    until(lambda: os.listdir(tmp_path / "scratch") == [])
