"""Cost of the work of the deidentify verb on uncompressed 512 x 512 CT, with harvest and verification.

    python tests/benchmarks/bench_deid.py [--slices 400] [--profile basic]

Processor time is measured, because wall time depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from deid_tokens import plain_slice, written

from med_stylesr.deid import Deidentifier, load_profile
from med_stylesr.deid.files import clean_file, harvest_file
from med_stylesr.deid.keys import new_key
from med_stylesr.deid.verify import search_for


def main() -> None:
    """Write a series, clean it, print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--profile", default="basic")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, dest = pathlib.Path(folder, "in"), pathlib.Path(folder, "out")
        source.mkdir()
        dataset = plain_slice(512)
        noise = np.random.default_rng(1).normal(-300, 40, (512, 512)).astype("<i2")
        for number in range(settings.slices):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = (
                f"1.2.826.0.1.3680043.2.1143.5.{number}"
            )
            dataset.InstanceNumber, dataset.SliceLocation = number, float(number)
            dataset.ImagePositionPatient = [-100, -100, float(number)]
            dataset.PixelData = np.roll(noise, number, axis=1).tobytes()
            (source / f"{number:05d}.dcm").write_bytes(written(dataset))
        deidentifier = Deidentifier(load_profile(settings.profile), new_key())
        start = time.process_time()
        files = sorted(source.iterdir())
        for file in files:
            harvest_file(file, deidentifier)
        search = search_for(deidentifier.harvested, deidentifier.profile)
        for file in files:
            outcome = clean_file(file, file.name, dest, deidentifier, search, overwrite=False)
            assert outcome.written, outcome.reason
        slice_ms = (time.process_time() - start) / settings.slices * 1e3
    print(f"{slice_ms:.1f} ms of processor time a slice: {2000 / slice_ms:.0f} slices a second on two free cores")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


if __name__ == "__main__":
    main()
