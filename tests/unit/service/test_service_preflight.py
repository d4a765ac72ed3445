"""Wrong options and places: one line, exit status 2, and neither torch nor a model loaded for what is cheap to see."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from phantoms import BODY, stack, write_series

from med_stylesr.cli import main
from med_stylesr.errors import UsageError
from med_stylesr.inference.request import StrengthRequest, check_scale
from med_stylesr.service.preflight import check_places, style_reference

CHEAP = [
    (["--scale", "0", "1", "1"], "--scale"),
    (["--scale", "1", "-2", "1"], "--scale"),
    (["--spacing", "0", "1", "1"], "--spacing"),
    (["--spacing", "nan", "1", "1"], "--spacing"),
    (["--spacing", "1", "1", "1", "--scale", "1", "2", "2"], "--scale and --spacing"),
    (["--strength", "2"], "--strength 2"),
    (["--strength", "-0.1"], "--strength -0.1"),
    (["--strength", "abc"], "neither auto nor a number"),
    (["--strength", "nan"], "--strength nan"),
    (["--dose", "0"], "--dose 0"),
    (["--dose", "1.5"], "--dose 1.5"),
    (["--dose", "0.5", "--strength", "0.5"], "leave --strength out"),
    (["--dose", "0.5", "--target-noise", "10"], "give one of them"),
    (["--style", "no/such/scan.nii.gz"], "--style no/such/scan.nii.gz: does not exist"),
    (["--target-noise", "-3"], "--target-noise"),
    (["--key-file", "k"], "--deidentify"),
    (["--resume", "--deidentify", "basic"], "--key-file"),
    (["--style", "baroque"], "this bundle has: normal-dose"),
    (["--bundle", "nonsense"], "is no bundle folder"),
]


def told(capfd: pytest.CaptureFixture[str]) -> str:
    """What stands on standard error, which must be one line of ours."""
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("med-stylesr: ")
    return lines[0]


def enhance(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["med-stylesr", "enhance", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.run()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(("options", "line"), CHEAP)
def test_a_wrong_option_is_one_line_and_exit_status_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    (tmp_path / "in").mkdir()
    assert enhance(monkeypatch, tmp_path / "in", tmp_path / "out", *options) == 2
    assert line in told(capfd)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--scale", "7", "7", "7"], "this bundle offers"),
        (["--device", "cuda:9"], "--device cuda:9"),
        (["--device", "tape"], "is no device"),
        (["--deidentify", "no-such-profile"], "no-such-profile"),
    ],
)
def test_what_the_bundle_or_machine_lacks_is_one_line_before_any_scan_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    def unread(source: Path) -> None:
        raise AssertionError("the source was searched")

    monkeypatch.setattr("med_stylesr.service.batch.find_inputs", unread)
    (tmp_path / "in").mkdir()
    assert enhance(monkeypatch, tmp_path / "in", tmp_path / "out", *options, "--no-isolate") == 2
    assert line in told(capfd)
    assert not (tmp_path / "out").exists()


def test_a_missing_source_and_a_spacing_that_the_scan_exceeds_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert enhance(monkeypatch, tmp_path / "nowhere", tmp_path / "out") == 2
    assert "does not exist" in told(capfd)
    write_series(tmp_path / "in", stack(2, shape=(32, 32)), BODY)
    assert enhance(monkeypatch, tmp_path / "in", tmp_path / "out", "--spacing", 30, 20, 20, "--no-isolate") == 2
    assert "coarser than the scan" in told(capfd)


def test_cheap_checks_and_help_load_nothing_heavy(tmp_path: Path) -> None:
    """Start-up under half a second depends on it; modules are counted, since a clock would measure the neighbours."""
    code = (
        "import sys\n"
        "from med_stylesr.cli import main\n"
        "heavy = {'torch', 'monai', 'pydicom', 'numpy', 'nibabel', 'SimpleITK'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        f"for options in {[options for options, _ in CHEAP]!r} + [['--help']]:\n"
        f"    sys.argv = ['med-stylesr', 'enhance', {str(tmp_path)!r}, {str(tmp_path.parent / 'o')!r}, *options]\n"
        "    try: main.run()\n"
        "    except SystemExit as stop: assert stop.code == (0 if options == ['--help'] else 2), options\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=os.environ)


def test_dest_and_source_never_lie_in_each_other_and_dest_is_a_folder(tmp_path: Path) -> None:
    source, file = tmp_path / "in", tmp_path / "file"
    source.mkdir()
    file.touch()
    (tmp_path / "link").symlink_to(source)
    for dest in (source, source / "out", tmp_path, tmp_path / "link" / "out", file, file / "out"):
        with pytest.raises(UsageError):
            places(source, dest)
    places(source, tmp_path / "out" / "deep")


def test_the_key_is_never_passed_on_with_the_results_nor_put_among_the_scans(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for key in (tmp_path / "in" / "k", tmp_path / "out" / "sub" / "k"):
        with pytest.raises(UsageError, match="key file"):
            places(tmp_path / "in", tmp_path / "out", deidentify="basic", key_file=key)


def test_a_place_without_the_right_to_write_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot be written"):
        places(tmp_path / "in", tmp_path / "out")


def test_numbers_in_range_pass() -> None:
    check_scale((1, 2, 2), None)
    check_scale((1, 1, 1), (1.0, 0.5, 0.5))
    for strength, dose, noise in ((0.0, None, None), (1.0, None, None), (None, 1.0, None), (None, None, 12.5)):
        StrengthRequest(strength, dose, noise).check()


def places(source: Path, dest: Path, deidentify: str | None = None, key_file: Path | None = None) -> None:
    check_places(source, dest, resume=False, overwrite=False, deidentify=deidentify, key_file=key_file)


def test_a_style_is_a_name_or_the_path_of_a_scan(tmp_path: Path) -> None:
    scan = tmp_path / "chest.nii.gz"
    scan.touch()
    assert style_reference("smooth") is None
    assert style_reference(str(scan)) == scan
    for missing in ("chest.nii.gz", "./foo"):
        with pytest.raises(UsageError, match="does not exist"):
            style_reference(missing)


def test_a_style_that_is_a_file_but_no_scan_is_told_of_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "in", stack(2, shape=(32, 32)), BODY)
    (tmp_path / "README.md").write_text("no scan")
    style = tmp_path / "README.md"
    assert enhance(monkeypatch, tmp_path / "in", tmp_path / "out", "--style", style, "--no-isolate") == 2
    line = told(capfd)
    assert f"--style {style}: nothing usable in it" in line
    assert "SOURCE" not in line
