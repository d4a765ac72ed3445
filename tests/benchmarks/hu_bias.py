"""Whether a method moves HU by itself: noise alone moves the means of small regions, and of both signs it cancels."""

from __future__ import annotations

from typing import Final

import numpy as np
from benchmarks.methods import Method
from benchmarks.pooling import Records
from benchmarks.scans import BenchmarkScan
from benchmarks.store import Store

from med_stylesr.metrics.bias import masked_shift
from med_stylesr.metrics.regions import tissue_masks

STYLES: Final = ("smooth", "normal-dose")
"""Methods that it is told of."""


def bias(row: Method, scan: BenchmarkScan, dose: float) -> dict[str, list[float]]:
    """Tissue → voxels, and the mean of the results minus the mean of the inputs for noise of either sign, HU."""
    inputs = [scan.low_dose(dose, sign) for sign in (1, -1)]
    results = [row.run(low, scan) for low in inputs]
    # But for air, which scanners cut off at the end of the scale, the mean of the inputs is the scan at normal dose.
    baseline = np.mean(inputs, axis=0)[list(scan.wanted)]
    shifts = masked_shift(baseline, np.mean(results, axis=0), tissue_masks(scan.target, scan.spacing_mm))
    return {tissue: [shift.voxels, shift.shift_hu] for tissue, shift in shifts.items()}


def biases(rows: list[Method], scans: list[BenchmarkScan], dose: float, store: Store) -> dict[str, Records]:
    """Method → scan → figures, in the form of `pooling.tissue_shift`."""
    return {
        row.name: {
            scan.name: {
                "shift_hu": store.record("bias", f"{scan.key} {dose} {row.key}", lambda r=row, s=scan: bias(r, s, dose))
            }
            for scan in scans
        }
        for row in rows
        if row.name in STYLES
    }
