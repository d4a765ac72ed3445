"""Damage that only a check sum can show is found in volume files, and is told for what it is."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.nifti_frames import NiftiFrames, frames_file
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

VOLUME = CTVolume(
    np.random.default_rng(1).integers(-1000, 1000, (9, 32, 31)).astype(np.int16), np.diag([0.7, 0.7, 2, 1])
)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {"a bit": flipped, "no check sum": lambda data: data[:-8], "half a check sum": lambda data: data[:-6]}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_what_its_check_sum_denies_is_refused(tmp_path: Path, ending: str, damage: str) -> None:
    path = tmp_path / f"a{ending}"
    write_volume_file(VOLUME, path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(InputError) as caught:
        read_volume_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_frames_are_refused_by_the_check_sum_of_the_whole(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.nii.gz"
    with frames_file(path, VOLUME.grid, 3, 1.5) as append:
        for t in range(3):
            append(VOLUME.hu + t)
    sound = NiftiFrames(path)
    assert all(np.array_equal(sound.frame(t).hu, VOLUME.hu + t) for t in (0, 1, 2, 1))
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(InputError, match="cannot be read"):
        [NiftiFrames(path).frame(t) for t in range(3)]


def test_packed_nifti_in_several_parts_is_read(tmp_path: Path) -> None:
    write_volume_file(VOLUME, tmp_path / "a.nii")
    import gzip

    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + bytes(512))
    assert np.array_equal(read_volume_file(tmp_path / "b.nii.gz").hu, VOLUME.hu)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
def test_a_metaimage_that_is_cut_off_says_so(tmp_path: Path, name: str, packed: bool) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOLUME.hu), str(tmp_path / name), useCompression=packed)
    assert np.array_equal(read_volume_file(tmp_path / name).hu, VOLUME.hu)
    data = next((p for p in tmp_path.iterdir() if p.suffix in (".raw", ".zraw")), tmp_path / name)
    data.write_bytes(data.read_bytes()[:-1000])
    with pytest.raises(InputError, match="is cut off: its voxels are incomplete"):
        read_volume_file(tmp_path / name)


def test_a_metaimage_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    write_volume_file(VOLUME, tmp_path / "a.mha")
    data = (tmp_path / "a.mha").read_bytes()
    (tmp_path / "a.mha").write_bytes(data.replace(b"DimSize = 31 32 9", b"DimSize = 31 32 8"))
    with pytest.raises(InputError, match="not as many"):
        read_volume_file(tmp_path / "a.mha")


def test_a_header_that_simpleitk_cannot_read_blames_no_missing_file(tmp_path: Path) -> None:
    write_volume_file(VOLUME, tmp_path / "a.mha")
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:200])
    with pytest.raises(InputError) as caught:
        read_volume_file(tmp_path / "a.mha")
    assert "No such file" not in str(caught.value)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_a_pair_of_header_and_image_is_told_how_it_can_be_read(tmp_path: Path, ending: str) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOLUME.hu, np.eye(4)), tmp_path / "a.img")
    for source in (tmp_path / f"a{ending}", tmp_path):
        with pytest.raises(UsageError, match=r"convert them to one \.nii file"):
            find_inputs(source)
