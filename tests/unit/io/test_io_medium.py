"""A medium lists every instance once, under names that any reader of CDs takes, and is whole or absent."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantoms import BODY, GRADIENT, stack, write_series

from med_stylesr.errors import InputError
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.medium import write_medium
from med_stylesr.io.source import find_inputs


def test_what_the_index_lists_are_the_series_that_were_given(tmp_path: Path) -> None:
    folders = [tmp_path / "out" / name for name in "ab"]
    for folder, scene in zip(folders, (BODY, GRADIENT), strict=True):
        write_series(folder, stack(3, shape=(16, 16)), scene)
    write_medium(folders, tmp_path / "out" / "medium")
    medium = tmp_path / "out" / "medium"
    names = [part for path in medium.rglob("*") for part in path.relative_to(medium).parts]
    assert all(re.fullmatch("[A-Z0-9_]{1,8}", name) for name in names)
    with find_inputs(tmp_path / "out" / "a") as one, find_inputs(medium / "DICOMDIR") as listed:
        assert sorted(len(s) for s in listed.series) == [3, 3]
        (same,) = [s for s in listed.series if s.uid == one.series[0].uid]
        np.testing.assert_array_equal(read_volume(same).hu, read_volume(one.series[0]).hu)
    run = subprocess.run(
        [Path(sys.executable).parent / "dciodvfy", "-new", medium / "DICOMDIR"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


def test_a_medium_is_written_anew_and_the_same_again(tmp_path: Path) -> None:
    write_series(tmp_path / "out" / "a", stack(2, shape=(16, 16)), BODY)
    write_medium([tmp_path / "out" / "a"], tmp_path / "out" / "medium")
    first = (tmp_path / "out" / "medium" / "DICOMDIR").read_bytes()
    write_medium([tmp_path / "out" / "a"], tmp_path / "out" / "medium")
    assert (tmp_path / "out" / "medium" / "DICOMDIR").read_bytes() == first


def test_what_a_deidentified_series_leaves_empty_is_made_up_in_the_index_alone(tmp_path: Path) -> None:
    empty = {"PatientID": "", "StudyDate": "", "StudyTime": None, "StudyID": ""}
    (path,) = write_series(tmp_path / "out" / "a", stack(1, shape=(16, 16)), BODY, **empty)
    write_medium([tmp_path / "out" / "a"], tmp_path / "out" / "medium")
    (copy,) = [p for p in (tmp_path / "out" / "medium").rglob("*") if p.is_file() and p.name != "DICOMDIR"]
    assert pydicom.dcmread(copy) == pydicom.dcmread(path)


def test_what_cannot_be_listed_is_told_and_leaves_no_half_medium(tmp_path: Path) -> None:
    write_series(tmp_path / "out" / "a", stack(1, shape=(16, 16)), BODY, SeriesNumber=None)
    with pytest.raises(InputError, match="cannot lie on a medium"):
        write_medium([tmp_path / "out" / "a"], tmp_path / "out" / "medium")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]
