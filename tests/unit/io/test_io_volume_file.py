"""Volume files keep values and places exactly; what is no CT volume is refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import BODY, rotated, stack, write_series

from med_stylesr.errors import InputError, UsageError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.source import find_inputs
from med_stylesr.io.volume_file import read_volume_file, write_volume_file
from med_stylesr.volume import CTVolume

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
SHEARED = np.array([[0.7, 0, 0, -100], [0, 0.71, -0.9, 20], [0, 0.24, 2.8, -300], [0, 0, 0, 1.0]])


def _volume(dtype: type, affine: np.ndarray = SHEARED) -> CTVolume:
    values = np.random.default_rng(1).integers(-3024, 3072, (5, 6, 7))
    return CTVolume((values + (0.25 if dtype is np.float32 else 0)).astype(dtype), affine)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_values_type_and_sheared_places_survive(tmp_path: Path, ending: str, dtype: type) -> None:
    volume = _volume(dtype)
    write_volume_file(volume, tmp_path / f"a{ending}")
    again = read_volume_file(tmp_path / f"a{ending}")
    assert again.hu.dtype == dtype
    assert np.array_equal(again.hu, volume.hu)
    assert np.abs(again.affine - volume.affine).max() < 1e-4


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_an_nrrd_that_names_no_space_says_what_is_assumed(tmp_path: Path, newline: bytes) -> None:
    lines = [b"NRRD0004", b"type: short", b"dimension: 3", b"sizes: 4 4 2", b"endian: little", b"encoding: raw"]
    (tmp_path / "a.nrrd").write_bytes(newline.join([*lines, b"", b""]) + b"\x9c\xff" * 32)
    (warning,) = read_volume_file(tmp_path / "a.nrrd").provenance["warnings"]
    assert "names no space" in warning
    write_volume_file(_volume(np.int16), tmp_path / "b.nrrd")
    assert not any("space" in told for told in read_volume_file(tmp_path / "b.nrrd").provenance["warnings"])


@settings(max_examples=30, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 6)] * 3),
    flip=st.booleans(),
    ending=st.sampled_from(ENDINGS),
)
def test_any_orientation_survives(
    tmp_path_factory: pytest.TempPathFactory, angles: tuple, spacing: tuple, flip: bool, ending: str
) -> None:
    both = np.reshape(rotated(angles[0], "x", rotated(angles[1], "y", rotated(angles[2], "z"))), (2, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*both, np.cross(*both) * (-1 if flip else 1)], axis=1) * spacing
    affine[:3, 3] = (-211.5, 33.25, 900.125)
    path = tmp_path_factory.mktemp("v") / f"a{ending}"
    write_volume_file(CTVolume(np.zeros((2, 3, 4), np.int16), affine), path)
    assert np.abs(read_volume_file(path).affine - affine).max() < 1e-3


def test_nifti_is_ras_and_nrrd_is_lps(tmp_path: Path) -> None:
    volume = _volume(np.int16)
    for ending in ENDINGS:
        write_volume_file(volume, tmp_path / f"a{ending}")
    ras = nibabel.load(tmp_path / "a.nii.gz")
    lps = SimpleITK.ReadImage(str(tmp_path / "a.nrrd"))
    for index in ((0, 0, 0), (6, 5, 4), (3, 0, 2)):
        x, y, z = volume.grid.positions(index)
        assert np.allclose(ras.affine @ (*index, 1), (-x, -y, z, 1), atol=1e-4)
        assert np.allclose(lps.TransformIndexToPhysicalPoint(index), (x, y, z), atol=1e-4)
        assert lps[index] == ras.dataobj[index] == volume.hu[index[::-1]]


def test_nifti_says_where_its_coordinates_come_from(tmp_path: Path) -> None:
    write_volume_file(_volume(np.int16, np.diag([0.7, 0.7, 2, 1])), tmp_path / "plain.nii")
    write_volume_file(_volume(np.int16), tmp_path / "sheared.nii")
    plain, sheared = (nibabel.load(tmp_path / f"{n}.nii").header for n in ("plain", "sheared"))
    assert (plain["sform_code"], plain["qform_code"]) == (1, 1)
    assert (sheared["sform_code"], sheared["qform_code"]) == (1, 0), "a quaternion cannot hold a shear"
    assert plain.get_xyzt_units()[0] == "mm"


def test_dicom_to_nifti_to_hu_keeps_structures_in_place(tmp_path: Path) -> None:
    write_series(tmp_path / "s", stack(12, orientation=rotated(18.5, "x"), step_mm=(0, 0, 3.0), shape=(40, 40)), BODY)
    with find_inputs(tmp_path / "s") as inputs:
        volume = read_volume(inputs.series[0])
    for ending in ENDINGS:
        write_volume_file(volume, tmp_path / f"a{ending}")
        again = read_volume_file(tmp_path / f"a{ending}")
        for ball in (BODY.shapes[1], BODY.shapes[2]):
            i, j, k = np.rint(again.grid.indices(ball.centre_mm)).astype(int)
            assert again.hu[k, j, i] == ball.hu


def test_scaled_integers_stay_integers_when_exact(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "a.nii")
    raw = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)
    volume = read_volume_file(tmp_path / "a.nii")
    assert np.array_equal(volume.hu, raw.transpose(2, 1, 0))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
def test_units_other_than_mm_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.diag([*np.array([0.5, 0.5, 2]) / factor, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume_file(tmp_path / "a.nii").spacing_mm == pytest.approx((2, 0.5, 0.5))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("spacing", [(0.001, 0.001, 0.001), (500, 500, 2), (0.7, 0.7, 500)])
def test_spacings_that_no_ct_has_are_refused(tmp_path: Path, ending: str, spacing: tuple[float, ...]) -> None:
    write_volume_file(_volume(np.int16, np.diag([*spacing, 1])), tmp_path / f"a{ending}")
    with pytest.raises(InputError, match=r"spacing is .* mm .*; 0\.005 to 20 mm are taken"):
        read_volume_file(tmp_path / f"a{ending}")


def test_a_volume_without_position_is_read_and_says_so(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), None)
    image.header.set_zooms((0.7, 0.7, 2))
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume_file(tmp_path / "a.nii")
    assert volume.spacing_mm == pytest.approx((2, 0.7, 0.7))
    assert "neither sform nor qform" in " ".join(volume.provenance["warnings"])


def _nifti(array: np.ndarray, path: Path, affine: np.ndarray | None = None) -> None:
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def test_a_fourth_axis_of_one_is_dropped_and_of_two_refused(tmp_path: Path) -> None:
    _nifti(np.zeros((4, 5, 6, 1), np.int16), tmp_path / "one.nii.gz")
    assert read_volume_file(tmp_path / "one.nii.gz").hu.shape == (6, 5, 4)
    _nifti(np.zeros((4, 5, 6, 2), np.int16), tmp_path / "two.nii.gz")
    with pytest.raises(InputError, match="one 3-D volume a file"):
        read_volume_file(tmp_path / "two.nii.gz")


def _rgb(path: Path) -> None:
    if path.suffix == ".nii":
        colour = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        _nifti(colour, path)
    else:
        image = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
        SimpleITK.WriteImage(image, str(path))


def _complex(path: Path) -> None:
    if path.suffix == ".nii":
        _nifti(np.zeros((3, 4, 5), np.complex64), path)
    else:
        _rgb(path)


def _nan(path: Path) -> None:
    hu = np.zeros((3, 4, 5), np.float32)
    hu[1, 1, 1] = np.nan
    if path.suffix == ".nii":
        _nifti(hu, path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(hu), str(path))


def _flat(path: Path) -> None:
    if path.suffix == ".nii":
        _nifti(np.zeros((3, 4), np.int16), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 4), np.int16)), str(path))


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    write_volume_file(_volume(np.int16), path)
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("make", [_rgb, _complex, _nan, _flat, _noise, _empty, _cut])
def test_what_is_no_ct_volume_is_refused_in_one_line(tmp_path: Path, make, ending: str, capfd) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"a{ending}"
    make(path)
    with pytest.raises(InputError) as caught:
        read_volume_file(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    write_volume_file(_volume(np.int16), tmp_path / "a.nii.gz")
    data = (tmp_path / "a.nii.gz").read_bytes()
    for length in (20, 200, len(data) - 30):
        (tmp_path / "cut.nii.gz").write_bytes(data[:length])
        with pytest.raises(InputError):
            read_volume_file(tmp_path / "cut.nii.gz")


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    _nifti(np.zeros((4, 5, 6), np.int16), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[42:48] = np.array([32767] * 3, "<i2").tobytes()
    (tmp_path / "huge.nii").write_bytes(data)
    (tmp_path / "huge.nii.gz").write_bytes(gzip.compress(bytes(data)))
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 60000 60000 600\nencoding: gzip\nendian: little\n\n"
    (tmp_path / "huge.nrrd").write_bytes(header.encode() + bytes(100))
    for name in ("huge.nii", "huge.nii.gz", "huge.nrrd"):
        with pytest.raises(InputError, match="claims"):
            read_volume_file(tmp_path / name)


@pytest.mark.parametrize("target", ["/etc/passwd", "../other.raw", "nothing.raw", "pipe.raw"])
def test_detached_headers_may_only_point_to_a_file_beside_them(tmp_path: Path, target: str) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.raw")
    (tmp_path / "a.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = {target}\n"
    )
    with pytest.raises(InputError, match="no file beside it"):
        read_volume_file(tmp_path / "a.mhd")


def test_detached_headers_with_their_data_are_read(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    for name in ("a.mhd", "a.nhdr"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
        assert np.array_equal(read_volume_file(tmp_path / name).hu.ravel(), np.arange(24))


def test_nan_spacing_is_refused(tmp_path: Path) -> None:
    _nifti(np.zeros((3, 4, 5), np.int16), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[280:296] = np.array([np.nan] * 4, "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(InputError):
        read_volume_file(tmp_path / "a.nii")


def test_uneven_slices_are_not_squeezed_into_a_regular_grid(tmp_path: Path) -> None:
    volume = CTVolume(np.zeros((3, 4, 5), np.int16), np.eye(4), {}, np.array([[0, 0, 0], [0, 0, 1], [0, 0, 9.0]]))
    with pytest.raises(InputError, match="unevenly"):
        write_volume_file(volume, tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


def test_other_names_and_existing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_volume_file(_volume(np.int16), tmp_path / "a.txt")
    with pytest.raises(UsageError):
        read_volume_file(tmp_path / "a.txt")
    write_volume_file(_volume(np.int16), tmp_path / "a.mha")
    with pytest.raises(UsageError, match="exists"):
        write_volume_file(_volume(np.int16), tmp_path / "a.mha")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_mask_or_another_modality_is_doubted(tmp_path: Path, ending: str) -> None:
    for lowest, doubted in ((0, True), (-90, False)):
        hu = np.full((3, 4, 5), 40, np.int16)
        hu[0, 0, 0] = lowest
        path = tmp_path / f"{lowest}{ending}"
        write_volume_file(CTVolume(hu, np.diag([-0.7, -0.7, 2.0, 1.0])), path)
        told = read_volume_file(path).provenance["warnings"]
        assert any("in HU" in warning for warning in told) == doubted
