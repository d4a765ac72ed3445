"""Synthetic pairs, folder layouts and whole-volume inferers."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch

from med_stylesr.engines.datalist import mayo_pairs, paired_scans, scans, split, unpaired_scans
from med_stylesr.engines.inferer import SlabInferer, SliceContextInferer
from med_stylesr.engines.phantoms import PhantomPairs
from med_stylesr.errors import InputError, UsageError


def phantoms(dose: float, **changes: object) -> PhantomPairs:
    arguments: dict[str, object] = {
        "spatial_dims": 2, "count": 4, "size": [96, 96], "scale": [1, 1], "in_channels": 3,
        "dose_fraction": [dose, dose], "noise_hu": 10.0, "noise_sigma": 0.6, "seed": 5,
    }  # fmt: skip
    return PhantomPairs(**{**arguments, **changes})  # type: ignore[arg-type]


def test_inserted_noise_variance_follows_one_over_dose_minus_one() -> None:
    for dose in (0.5, 0.25, 0.1):
        item = phantoms(dose)[0]
        added = item["image"][1] - item["label"][0]
        assert added.var().item() == pytest.approx(100 * (1 / dose - 1), rel=0.1)


def test_items_depend_on_seed_and_number_alone() -> None:
    one, other = phantoms(0.25), phantoms(0.25)
    other[3]
    assert torch.equal(one[1]["image"], other[1]["image"])
    assert not torch.equal(one[1]["image"], one[2]["image"])


def test_super_resolution_items_share_the_field_of_view() -> None:
    item = phantoms(1.0, spatial_dims=3, in_channels=1, size=[4, 24, 24], scale=[2, 1, 1])[0]
    assert item["image"].shape == (1, 4, 24, 24)
    torch.testing.assert_close(item["label"].reshape(1, 4, 2, 24, 24).mean(2), item["image"], atol=1e-2, rtol=0)


def test_slices_with_context_come_out_in_order_and_borders_repeat() -> None:
    volume = torch.arange(5.0).reshape(1, 1, 5, 1, 1).expand(1, 1, 5, 4, 4)
    centre = SliceContextInferer(3, 2)(volume, lambda x: x[:, 1:2])
    assert torch.equal(centre, volume)
    below = SliceContextInferer(3, 4)(volume, lambda x: x[:, :1])
    assert below[0, 0, :, 0, 0].tolist() == [0, 0, 1, 2, 3]


def test_slabs_equal_the_whole_volume_when_the_halo_covers_the_reach() -> None:
    volume = torch.randn(1, 1, 11, 6, 6)
    kernel = torch.randn(1, 1, 5, 1, 1)

    def network(x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, [0, 0, 0, 0, 2, 2], mode="replicate")
        return torch.nn.functional.conv3d(padded, kernel).repeat_interleave(2, 2)

    torch.testing.assert_close(SlabInferer(3, 2)(volume, network), network(volume))


def test_scans_are_paired_by_name_and_a_lonely_one_is_named(tmp_path: pathlib.Path) -> None:
    for name in ("low_dose/a.nii", "normal_dose/a.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(paired_scans(str(tmp_path), "low_dose", "normal_dose")) == 1
    (tmp_path / "low_dose" / "b.nii").touch()
    with pytest.raises(InputError, match=r"b\.nii"):
        paired_scans(str(tmp_path), "low_dose", "normal_dose")
    assert len(unpaired_scans(str(tmp_path), "low_dose", "normal_dose")) == 2
    with pytest.raises(InputError, match="no folder"):
        scans(str(tmp_path / "absent"), "image")


def test_mayo_layouts_of_tcia_and_of_the_challenge_are_found(tmp_path: pathlib.Path) -> None:
    for name in (
        "L004/08-21-2018/1.000000-Low Dose Images-71581",
        "L004/08-21-2018/1.000000-Full Dose Images-96245",
        "L067/quarter_3mm",
        "L067/full_3mm",
        "L067/full_1mm",
    ):
        (tmp_path / name).mkdir(parents=True)
    pairs = mayo_pairs(str(tmp_path))
    assert [pathlib.Path(p["label"]).name for p in pairs] == ["1.000000-Full Dose Images-96245", "full_3mm"]


def test_split_is_by_scan_and_leaves_nothing_out() -> None:
    items = [{"label": str(n)} for n in range(11)]
    train, validate = split(items, "train", 5), split(items, "validate", 5)
    assert len(validate) == 2
    assert sorted(int(i["label"]) for i in train + validate) == list(range(11))
    with pytest.raises(UsageError, match="leave none"):
        split(items[:1], "validate", 2)


def test_phantom_has_the_tissues_of_a_body() -> None:
    item = phantoms(1.0, count=1, noise_hu=1.0)[0]
    values = item["label"].numpy()
    for low, high in ((-1024, -950), (-920, -700), (-130, -50), (0, 100), (250, 1500)):
        assert np.mean((values >= low) & (values < high)) > 0.002
