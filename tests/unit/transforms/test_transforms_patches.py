"""Crops, pairing, styles and volume files: positions must agree between grids, and nothing may be invented."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from med_stylesr.errors import InputError, UsageError
from med_stylesr.geometry import VoxelGrid
from med_stylesr.io.nifti import read_nifti
from med_stylesr.io.volume_file import write_volume_file
from med_stylesr.transforms.crop import RandBodyCropd
from med_stylesr.transforms.neighbours import NeighbourSlicesd
from med_stylesr.transforms.pairing import CommonSlicesd
from med_stylesr.transforms.style_target import RandStyleTargetd
from med_stylesr.transforms.volume_io import LoadCTd, SaveCTd
from med_stylesr.volume import CTVolume

AFFINE = np.array([[0.7, 0, 0.1, -100], [0, 0.7, 0.2, -80], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])


def crop(**changes: object) -> RandBodyCropd:
    arguments: dict[str, object] = {
        "image_key": "image", "label_key": "label", "size": [3, 8, 8], "scale": [1, 1, 1], "num_samples": 4,
        "body_hu": -500.0, "body_fraction": 1.0, "slices_as_channels": False,
    }  # fmt: skip
    made = RandBodyCropd(**{**arguments, **changes})  # type: ignore[arg-type]
    made.set_random_state(seed=0)
    return made


def test_patches_of_two_grids_show_the_same_place() -> None:
    image = torch.randn(1, 5, 20, 20)
    label = image.repeat_interleave(2, 1).repeat_interleave(3, 3)
    for item in crop(scale=[2, 1, 3])({"image": image, "label": label}):
        assert torch.equal(item["label"], item["image"].repeat_interleave(2, 1).repeat_interleave(3, 3))


def test_patches_are_centred_on_the_patient_and_borders_repeat() -> None:
    image = torch.full((1, 4, 40, 40), -1000.0)
    image[0, 0, 20, 20] = 50.0
    for item in crop(slices_as_channels=True)({"image": image, "label": image}):
        assert item["image"].shape == (3, 8, 8)
        assert item["label"].shape == (1, 8, 8)
        assert item["label"][0].max() == 50
        # The first slice stands in for the one that is missing below it.
        assert torch.equal(item["image"][0], item["image"][1])


def test_a_label_on_another_grid_is_refused() -> None:
    with pytest.raises(UsageError, match="is not"):
        crop(scale=[2, 1, 1])({"image": torch.zeros(1, 4, 9, 9), "label": torch.zeros(1, 4, 9, 9)})


def test_only_slices_at_common_positions_are_kept() -> None:
    def volume(first: int, last: int) -> MetaTensor:
        affine = torch.eye(4, dtype=torch.float64)
        affine[0, 0], affine[2, 0], affine[0, 2], affine[2, 2] = 0, 2.5, 1, 0
        affine[2, 3] = 2.5 * first
        return MetaTensor(torch.arange(first, last).float()[None, :, None, None].expand(1, -1, 4, 4), affine=affine)

    made = CommonSlicesd("image", "label")({"image": volume(0, 6), "label": volume(2, 9)})
    assert torch.equal(made["image"].as_tensor(), made["label"].as_tensor())
    assert made["image"].shape[1] == 4
    assert torch.equal(made["image"].affine, made["label"].affine)
    with pytest.raises(InputError, match="shares no slice"):
        CommonSlicesd("image", "label")({"image": volume(0, 2), "label": volume(5, 9)})


def test_neighbouring_slices_become_image_and_label() -> None:
    volume = MetaTensor(torch.arange(5.0)[None, :, None, None].expand(1, 5, 2, 2), affine=torch.eye(4))
    made = NeighbourSlicesd("label", "image", "label")({"label": volume})
    assert made["image"][0, :, 0, 0].tolist() == [0, 2]
    assert made["label"][0, :, 0, 0].tolist() == [1, 3]


def test_styles_are_drawn_as_often_as_asked_and_keep_the_mean() -> None:
    styles = ["normal-dose", "soft", "sharp"]
    draw = RandStyleTargetd("label", "style", styles, [0.5, 0.25, 0.25], {"soft": 1.0}, {"sharp": 1.0})
    draw.set_random_state(seed=1)
    label = torch.randn(1, 64, 64)
    made = [draw({"label": label}) for _ in range(200)]
    counts = np.bincount([int(m["style"]) for m in made], minlength=3) / 200
    np.testing.assert_allclose(counts, [0.5, 0.25, 0.25], atol=0.1)
    spread = {int(m["style"]): float(m["label"].std()) for m in made}
    assert spread[1] < spread[0] < spread[2]
    assert all(abs(float(m["label"].mean() - label.mean())) < 0.02 for m in made)


def test_a_volume_survives_reading_and_writing_with_its_affine(tmp_path: pathlib.Path) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (3, 5, 7)).astype(np.int16)
    write_volume_file(CTVolume(hu, AFFINE), tmp_path / "a.nii.gz")
    data = LoadCTd("image")({"image": tmp_path / "a.nii.gz"})
    assert data["image"].shape == (1, 3, 5, 7)
    np.testing.assert_allclose(data["image"].meta["spacing_mm"], VoxelGrid((3, 5, 7), AFFINE).spacing_mm, rtol=1e-5)
    fine = torch.as_tensor(data["image"]).repeat_interleave(2, 1)
    SaveCTd("pred", "image", str(tmp_path / "out"), ".nii.gz")({**data, "pred": fine})
    back = read_nifti(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(back.hu, hu.repeat(2, 0))
    np.testing.assert_allclose(back.affine, VoxelGrid((3, 5, 7), AFFINE).super_resolved([2, 1, 1]).affine, atol=1e-4)
