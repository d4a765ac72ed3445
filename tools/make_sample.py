"""Make the sample scan that the repository ships: a simulated quarter-dose series and its normal-dose partner.

    python tools/make_sample.py DICOM_FOLDER_OF_LIDC-IDRI-0001 tests/data/lidc_idri_0001

The source is public (The Cancer Imaging Archive, LIDC-IDRI, CC BY 3.0); see tests/data/lidc_idri_0001/ATTRIBUTION.md.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from pydicom.uid import JPEGLSLossless

from med_stylesr import __version__
from med_stylesr.degrade.calibration import calibrate
from med_stylesr.degrade.dose import DetectorModel, LowDoseSimulator
from med_stylesr.degrade.geometry import SCANNERS
from med_stylesr.hu import to_int16
from med_stylesr.io.derivation import Derivation
from med_stylesr.io.dicom_read import read_volume
from med_stylesr.io.dicom_write import DerivedSeriesWriter, output_places
from med_stylesr.io.source import find_inputs

# Slices of the last quarter, which no training sees.
FIRST, COUNT, DOSE, SEED = 100, 16, 0.25, 20261121
# Fixed, so that the files are the same whenever they are made.
CREATED = datetime(2026, 11, 21, tzinfo=timezone.utc)


def main() -> None:
    """Write both series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("dest", type=Path)
    arguments = parser.parse_args()
    files = sorted(arguments.source.glob("*.dcm"))[FIRST : FIRST + COUNT]
    normal, low = arguments.dest / "normal_dose", arguments.dest / "quarter_dose"
    for folder in (normal, low):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, normal / f"{number + 1:04d}.dcm")
    with find_inputs(normal) as inputs:
        (series,) = inputs.series
        volume = read_volume(series)
        simulator = LowDoseSimulator(SCANNERS["ge-lightspeed"], DetectorModel())
        hu = torch.from_numpy(volume.hu.astype(np.float32))
        # As the sample was first made; tests and tutorials rest on its very noise.
        calibration = calibrate(simulator, hu, volume.spacing_mm, tube_current_modulation=0.0)
        noise = simulator.noise(
            hu, volume.spacing_mm, DOSE, calibration, seed=SEED, thickness_mm=series.thickness_mm
        ).numpy()
        noise[volume.hu < -1024] = 0  # padding outside the field of view
        derivation = Derivation(
            summary="Simulated quarter-dose scan",
            tool="med-stylesr",
            tool_version=__version__,
            codes=(),
            created=CREATED,
            series_suffix="simulated 25% dose",
            series_number_offset=8000,
            source_radius=0,
            parameters={"dose fraction": DOSE, "I0 photons": calibration.i0_photons, "seed": SEED},
        )
        grid, origins = output_places(series, (1, 1, 1))
        writer = DerivedSeriesWriter(
            series, grid, derivation, low, slice_origins_mm=origins, transfer_syntax=JPEGLSLossless
        )
        for k, plane in enumerate(to_int16(volume.hu + noise)):
            writer.write(k, plane)
    size = sum(f.stat().st_size for f in arguments.dest.rglob("*.dcm"))
    print(f"{COUNT} slices a series, {size / 1e6:.2f} MB, present noise {calibration.noise_sd_hu:.1f} HU")


if __name__ == "__main__":
    main()
