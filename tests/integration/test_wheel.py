"""What `pip install` gives: bundles with weights, profiles and the sample are inside the wheel and found there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this checkout, unpacked away from it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=240, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_wheel_holds_bundles_weights_profiles_and_sample(unpacked: Path) -> None:
    package = unpacked / "med_stylesr"
    for name in ("ldct_stylesr_2d", "ldct_stylesr_2d_fast", "ldct_stylesr_3d"):
        weights = package / "bundles" / name / "models" / "model.pt"
        assert 10_000 < weights.stat().st_size < 25e6
        assert (package / "bundles" / name / "configs" / "metadata.json").is_file()
    assert 100_000 < (package / "networks" / "ct_encoder.pt").stat().st_size < 2e6
    assert (package / "networks" / "ct_encoder.json").is_file()
    assert (package / "configs" / "deid" / "basic.yaml").is_file()
    assert len(list((package / "sample" / "quarter_dose").glob("*.dcm"))) >= 16


@pytest.mark.slow
def test_program_from_the_wheel_finds_its_bundles_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "import med_stylesr, torch; from med_stylesr.inference.bundle import load_bundle; "
        "from med_stylesr.service.demo import sample_root; "
        "print(med_stylesr.__file__); print(load_bundle('ldct_stylesr_2d', torch.device('cpu')).path); "
        "print(sample_root())"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    for line in run.stdout.split():
        assert line.startswith(str(unpacked)), line
