"""Synthetic pairs, folder layouts and whole-volume inferers."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from phantoms import GRADIENT, stack, write_series

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


CHALLENGE = ("L067/quarter_3mm", "quarter_1mm/L067", "Training_Image_Data/3mm B30/quarter_3mm/L096/quarter_3mm")


def mayo_tree(folder: pathlib.Path) -> None:
    """The two collections as they are handed out, as folders with one empty file each."""
    for name in (
        "LDCT-and-Projection-data/L299/12-23-2021-NA-NA-31304/1.000000-Low Dose Images-20326/1-001.dcm",
        "LDCT-and-Projection-data/L299/12-23-2021-NA-NA-31304/1.000000-Full Dose Images-29696/1-001.dcm",
        "LDCT-and-Projection-data/L299/08-22-2018-NA-NA-20022/1.000000-Full dose projections-35722/1-001.dcm",
        "LDCT-and-Projection-data/L299/08-22-2018-NA-NA-20022/1.000000-Low dose projections-35723/1-001.dcm",
        "LDCT-and-Projection-data/L004/08-21-2018-10971/1.000000-Low Dose Images-71581/1-001.dcm",
        "LDCT-and-Projection-data/L004/12-23-2021-40641/1.000000-Full dose images-63186/1-001.dcm",
        "LDCT-and-Projection-data/N001/12-23-2021-1/1.000000-Full Dose Images-1/1-001.dcm",
        *(f"challenge/{name}/L_QD_1.CT.0001.0001.IMA" for name in CHALLENGE),
        *(f"challenge/{name.replace('quarter', 'full')}/L_FD_1.CT.0001.0001.IMA" for name in CHALLENGE),
        "challenge/L067/full_1mm/L_FD_1.CT.0001.0001.IMA",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_mayo_layouts_of_tcia_and_of_the_challenge_are_found(tmp_path: pathlib.Path) -> None:
    mayo_tree(tmp_path)
    pairs = {item["image"]: item["label"] for item in mayo_pairs(str(tmp_path / "LDCT-and-Projection-data"))}
    assert {pathlib.Path(image).name: pathlib.Path(label).name for image, label in pairs.items()} == {
        "1.000000-Low Dose Images-20326": "1.000000-Full Dose Images-29696",
        "1.000000-Low Dose Images-71581": "1.000000-Full dose images-63186",
    }
    pairs = {item["image"]: item["label"] for item in mayo_pairs(str(tmp_path / "challenge"))}
    assert pairs == {image: image.replace("quarter", "full") for image in pairs}
    assert len(pairs) == len(CHALLENGE)


def test_a_mayo_scan_without_its_partner_is_named(tmp_path: pathlib.Path) -> None:
    mayo_tree(tmp_path)
    (tmp_path / "challenge" / "L067" / "full_3mm").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"L067.quarter_3mm: has 0 full-dose partners"):
        mayo_pairs(str(tmp_path / "challenge"))
    with pytest.raises(InputError, match="no Mayo"):
        mayo_pairs(str(tmp_path / "elsewhere"))


def test_mayo_pairs_meet_slice_by_slice_where_one_series_starts_later(tmp_path: pathlib.Path) -> None:
    overlay = json.loads((pathlib.Path(__file__).parents[3] / "configs" / "mayo.json").read_text())
    low, full = tmp_path / "L067" / "quarter_3mm", tmp_path / "L067" / "full_3mm"
    write_series(low, stack(6), GRADIENT)
    write_series(full, stack(8), GRADIENT)  # one slice more at either end
    for path in tmp_path.rglob("*.dcm"):
        path.rename(path.with_suffix(".IMA"))
    (item,) = mayo_pairs(str(tmp_path))
    for step in overlay["load"]:
        item = ConfigParser({"step": step}).get_parsed_content("step")(item)
    image, label = item["image"], item["label"]
    assert image.shape == label.shape == (1, 6, 24, 20)
    torch.testing.assert_close(image.as_tensor(), label.as_tensor())


def test_split_is_by_scan_and_leaves_nothing_out() -> None:
    items = [{"label": str(n)} for n in range(11)]
    train, validate = split(items, "train", 5), split(items, "validate", 5)
    assert len(validate) == 2
    assert sorted(int(i["label"]) for i in train + validate) == list(range(11))
    with pytest.raises(UsageError, match="leave none"):
        split(items[:1], "validate", 2)


def test_reconstructions_of_one_patient_are_never_split(tmp_path: pathlib.Path) -> None:
    mayo_tree(tmp_path)
    items = mayo_pairs(str(tmp_path / "challenge"))
    train, validate = split(items, "train", 2), split(items, "validate", 2)
    assert {item["case"] for item in items} == {"L067", "L096"}
    assert len(train) + len(validate) == len(items)
    assert not {item["case"] for item in train} & {item["case"] for item in validate}


def test_phantom_has_the_tissues_of_a_body() -> None:
    item = phantoms(1.0, count=1, noise_hu=1.0)[0]
    values = item["label"].numpy()
    for low, high in ((-1024, -950), (-920, -700), (-130, -50), (0, 100), (250, 1500)):
        assert np.mean((values >= low) & (values < high)) > 0.002
