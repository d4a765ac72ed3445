"""The result lies in the scene where its source lies, looks like it, and stands beside it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slicer


@pytest.fixture
def logic(scene: Any, engine: Any) -> Any:
    import MedStyleSR

    return MedStyleSR.MedStyleSRLogic()


@pytest.mark.parametrize("kind", ["anisotropic", "oblique", "left-handed", "gantry tilt"])
def test_our_volume_files_are_read_by_slicer_s_own_storage_node_in_the_same_place(
    scene: Any, tmp_path: Path, kind: str
) -> None:
    import slicer
    from MedStyleSRLib.nrrd import write_nrrd
    from MedStyleSRLib.volumes import affine_of, voxels_of
    from scene_volumes import AFFINES, hu

    write_nrrd(tmp_path / "a.nrrd", hu(), AFFINES[kind])
    storage = scene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
    storage.SetFileName(str(tmp_path / "a.nrrd"))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert storage.ReadData(node)
    np.testing.assert_array_equal(voxels_of(node), hu())
    np.testing.assert_allclose(affine_of(node), AFFINES[kind], atol=1e-9)
    assert slicer.util.arrayFromVolume(node).dtype == np.int16


@pytest.mark.parametrize("kind", ["anisotropic", "oblique", "left-handed", "gantry tilt"])
@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 1, 1)])
def test_every_voxel_comes_back_to_its_place(logic: Any, kind: str, scale: tuple[int, int, int]) -> None:
    from MedStyleSRLib.box import finer_affine
    from MedStyleSRLib.volumes import affine_of, voxels_of
    from scene_volumes import AFFINES, hu, volume
    from slicer_fake_engine import REMOVED

    source = volume(kind)
    result = logic.enhance(source, scale=scale)
    np.testing.assert_allclose(affine_of(result), finer_affine(AFFINES[kind], scale), atol=1e-9)
    np.testing.assert_array_equal(voxels_of(result), np.repeat(hu(), scale[0], axis=0) + int(REMOVED))
    np.testing.assert_array_equal(voxels_of(source), hu())


def test_the_result_has_its_source_s_transform_window_colours_folder_and_record(logic: Any) -> None:
    import slicer
    from MedStyleSRLib.volumes import FACTS_ATTRIBUTE, SOURCE_ROLE
    from scene_volumes import transform, volume

    source = volume()
    table = transform(source, np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]]))
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = tree.CreateFolderItem(tree.GetSceneItemID(), "Study of today")
    tree.CreateItem(study, source)
    result = logic.enhance(source)
    assert result.GetParentTransformNode() is table
    theirs, ours = source.GetDisplayNode(), result.GetDisplayNode()
    assert (ours.GetWindow(), ours.GetLevel()) == (1500, -600)
    assert ours.GetColorNodeID() == theirs.GetColorNodeID()
    assert not ours.GetAutoWindowLevel()
    assert result.GetNodeReference(SOURCE_ROLE) is source
    item = tree.GetItemByDataNode(result)
    assert item
    assert tree.GetItemParent(item) == study
    facts = json.loads(result.GetAttribute(FACTS_ATTRIBUTE))
    assert facts["noise_after_hu"] == 12.0
    assert result.GetName() == "Chest enhanced"


def test_an_existing_volume_takes_the_result_and_a_second_run_makes_a_second_volume(logic: Any, scene: Any) -> None:
    from MedStyleSRLib.volumes import affine_of, voxels_of
    from scene_volumes import AFFINES, hu, volume

    source, other = volume(), volume("left-handed", np.zeros((2, 3, 4), np.int16), "Other")
    assert logic.enhance(source, other) is other
    np.testing.assert_allclose(affine_of(other), AFFINES["oblique"], atol=1e-9)
    assert voxels_of(other).shape == hu().shape
    names = {logic.enhance(source).GetName(), logic.enhance(source).GetName()}
    assert len(names) == 2


def test_an_image_that_two_nodes_share_is_not_written_to(logic: Any, scene: Any) -> None:
    from MedStyleSRLib.volumes import voxels_of
    from scene_volumes import hu, volume

    source = volume()
    clone = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Clone")
    clone.SetAndObserveImageData(source.GetImageData())
    logic.enhance(source, clone)
    np.testing.assert_array_equal(voxels_of(source), hu())


def test_a_region_of_interest_gives_its_voxels_also_under_transforms_and_turned(logic: Any, scene: Any) -> None:
    from MedStyleSRLib.box import Box, cropped_affine
    from MedStyleSRLib.volumes import LPS_TO_RAS, affine_of, voxels_of
    from scene_volumes import AFFINES, hu, transform, volume
    from slicer_fake_engine import REMOVED

    box = Box((1, 5, 8), (4, 20, 30))
    for matrix in (np.eye(4), np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])):
        source = volume()
        transform(source, matrix)
        # A box of voxels of an oblique grid is a turned region of interest in the world.
        to_world = matrix @ LPS_TO_RAS @ AFFINES["oblique"]
        middle = [(a + b - 1) / 2 for a, b in zip(box.start[::-1], box.stop[::-1], strict=True)]
        turn = np.eye(4)
        lengths = np.linalg.norm(to_world[:3, :3], axis=0)
        turn[:3, :3], turn[:3, 3] = to_world[:3, :3] / lengths, (to_world @ [*middle, 1])[:3]
        roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        import slicer

        # Slightly smaller than the box: the grid is not quite orthogonal, a region of interest is.
        roi.SetSize(*(np.array(box.shape[::-1]) * lengths * 0.9))
        u, _, v = np.linalg.svd(turn[:3, :3])
        turn[:3, :3] = u @ v
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(turn))
        roi.AddControlPoint(*turn[:3, 3])
        roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(turn))
        result = logic.enhance(source, region="roi", roi=roi)
        got = voxels_of(result)
        ijk = np.linalg.inv(AFFINES["oblique"]) @ affine_of(result) @ [0, 0, 0, 1]
        np.testing.assert_allclose(ijk, np.round(ijk), atol=1e-6)
        start = tuple(int(n) for n in np.round(ijk[2::-1]))
        stop = tuple(a + n for a, n in zip(start, got.shape, strict=True))
        for axis in range(3):
            assert abs(start[axis] - box.start[axis]) <= 2
            assert abs(stop[axis] - box.stop[axis]) <= 2
        np.testing.assert_array_equal(got, hu()[Box(start, stop).slices] + int(REMOVED))
        np.testing.assert_allclose(affine_of(result), cropped_affine(AFFINES["oblique"], Box(start, stop)), atol=1e-6)


@pytest.mark.parametrize("kind", ["anisotropic", "oblique", "left-handed", "gantry tilt"])
def test_a_preview_is_the_slice_in_the_middle_of_the_view(logic: Any, kind: str) -> None:
    from MedStyleSRLib.box import Box, cropped_affine
    from MedStyleSRLib.volumes import affine_of, voxels_of
    from scene_volumes import AFFINES, hu, look_at, transform, view, volume
    from slicer_fake_engine import REMOVED

    red, _ = view()
    source = volume(kind)
    matrix = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    transform(source, matrix)
    look_at(red, source, (30, 3, 3.2), matrix)
    result = logic.enhance(source, region="slice")
    np.testing.assert_array_equal(voxels_of(result), hu()[3:4] + int(REMOVED))
    expected = cropped_affine(AFFINES[kind], Box((3, 0, 0), (4, 32, 40)))
    np.testing.assert_allclose(affine_of(result), expected, atol=1e-9)


def test_of_several_views_the_one_along_the_slices_counts_and_beside_the_volume_is_told(logic: Any) -> None:
    from MedStyleSRLib.problems import EngineProblem
    from MedStyleSRLib.region import view_along_slices
    from scene_volumes import look_at, view, volume

    green, _ = view("Green")
    red, _ = view("Red")
    source = volume("oblique")
    look_at(green, source, (0, 0, 2), across=True)
    look_at(red, source, (0, 0, 40))
    assert view_along_slices(source) is red
    with pytest.raises(EngineProblem, match="the view Red shows no slice of it; scroll"):
        logic.enhance(source, region="slice")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda node: None, "none is chosen"),
        (lambda node: node.SetAndObserveImageData(None) or node, "has no voxels"),
        (lambda node: node.GetImageData().AllocateScalars(4, 3) or node, "several values a voxel"),
    ],
)
def test_an_input_that_is_none_is_told_before_anything_starts(logic: Any, change: Any, told: str) -> None:
    from MedStyleSRLib.problems import EngineProblem
    from scene_volumes import volume

    with pytest.raises(EngineProblem, match=told):
        logic.enhance(change(volume()))


def test_waiting_or_not_the_python_interface_tells_what_went_wrong(
    logic: Any, engine: Any, until: Any, scene: Any
) -> None:
    from MedStyleSRLib.problems import OutOfMemory
    from scene_volumes import volume

    engine("memory")
    source, ended = volume(), []
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(OutOfMemory):
        logic.enhance(source)
    running = logic.enhance(source, wait=False, done=ended.append)
    until(lambda: ended)
    assert ended == [running]
    assert isinstance(running.problem, OutOfMemory)
    engine("fine")
    running = logic.enhance(source, wait=False, done=ended.append)
    assert running.state == "running"
    until(lambda: len(ended) == 2)
    assert running.node.GetName() == "Chest enhanced"
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count + 1


def test_the_interface_is_where_slicer_s_users_look_for_it(scene: Any, engine: Any) -> None:
    import MedStyleSR
    import slicer
    from scene_volumes import volume

    # What slicer.modules has for a scripted module: a C++ logic without anything of ours.
    logic = slicer.vtkMRMLApplicationLogic()
    slicer.modules.medstylesr = type("Module", (), {"logic": lambda self: logic})()
    MedStyleSR.publish_logic()
    result = slicer.modules.medstylesr.logic().enhance(volume())
    assert result.GetName() == "Chest enhanced"
    del slicer.modules.medstylesr


def test_the_gui_is_never_held_up_by_a_large_volume(logic: Any, engine: Any, application: Any) -> None:
    """Everything that happens on the GUI's thread for 512 x 512 x 200, a piece at a time, in process CPU time."""
    from MedStyleSRLib.live_blend import LiveBlend
    from MedStyleSRLib.volumes import fill, voxels_of
    from scene_volumes import AFFINES, volume

    voxels = np.zeros((200, 512, 512), np.int16)
    source, pieces = volume("oblique", voxels), {}

    def clock(name: str, work: Any) -> Any:
        begun = time.thread_time()
        made = work()
        pieces[name] = time.thread_time() - begun
        return made

    from MedStyleSRLib.blend import Blend

    clock("copy for the engine", lambda: voxels_of(source).copy())
    clock("result into the scene", lambda: fill(source, voxels, AFFINES["oblique"]))
    live = LiveBlend(application.mrmlScene, Blend(voxels, voxels + np.int16(3), 1.0, np.int16), source, 1.0)
    live.move_to(0.5, 100)
    clock("a step of blending", lambda: live.step(0.05))
    assert live.busy
    assert max(pieces.values()) < 0.3, pieces
    while live.step(0.05):
        pass
    assert (voxels_of(source) == 2).all()
