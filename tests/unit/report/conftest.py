"""A small chest with known contents for the reports, and a browser to open them in."""

import shutil
import subprocess

import numpy as np
import pytest
from scipy import ndimage

from med_stylesr.volume import CTVolume

FLAGS = [
    "--headless",
    "--no-sandbox",
    # WebGL in software.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # None of the browser's own errands on the network.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--dump-dom",
]


@pytest.fixture
def browse(tmp_path):
    """Opens a page in headless Chromium and gives its final DOM; skipped where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")

    def run(page):
        command = [program, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout

    return run


@pytest.fixture(scope="session")
def chest():
    """Noise-free torso, noisy scan of it, and a half-strength denoising of that: three CTVolumes (12, 160, 160)."""
    y, x = np.mgrid[-80:80, -80:80] * 2.0
    hu = np.full((160, 160), -1000.0)
    hu[(x / 150) ** 2 + (y / 115) ** 2 < 1] = -100
    hu[(x / 140) ** 2 + (y / 105) ** 2 < 1] = 45
    for side in (-1, 1):
        hu[((x - side * 70) / 42) ** 2 + ((y + 25) / 55) ** 2 < 1] = -850
    hu[x**2 + (y - 70) ** 2 < 20**2] = 500
    hu = ndimage.gaussian_filter(hu, 0.6)  # A scanner's own blur.
    clean = np.repeat(hu[None], 12, axis=0).astype(np.float32)
    white = np.random.default_rng(0).standard_normal(clean.shape)
    # A band pass, as filtered back projection leaves it: no power at frequency zero.
    noise = ndimage.gaussian_filter(white, (0, 0.5, 0.5)) - ndimage.gaussian_filter(white, (0, 2, 2))
    noise *= 40 / noise.std()
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    volumes = (clean, clean + noise, clean + 0.5 * noise)
    return tuple(CTVolume(v.astype(np.float32), affine) for v in volumes)
