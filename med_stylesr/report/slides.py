"""The slices that a page's viewer shows: chosen, cropped, coded in 8 bits and bounded in size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from med_stylesr.hu import WINDOWS
from med_stylesr.metrics.regions import spread_indices
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.report.comparison import body_box
from med_stylesr.report.display import CODE_HU, data_uri, to_codes

DEFAULT_SLICES: Final = 32
SIZE_LIMIT_BYTES: Final = 16_000_000
"""What all pictures of the viewer may take together, so that the page can be mailed."""


def slides(
    pair: AlignedPair, *, names: tuple[str, str], max_slices: int = DEFAULT_SLICES, max_bytes: int = SIZE_LIMIT_BYTES
) -> dict[str, Any]:
    """Slices of both scans as JSON-able data for `assets/viewer.js`.

    Args:
        pair: before and after.
        names: their captions.
        max_slices: slices shown, spread over the scan.
        max_bytes: fewer slices are taken when the pictures would be larger than this.

    Returns:
        names, hu (value of each 8-bit code), windows, pixel counts, width and height in mm, and the slices.
    """
    hu = pair.first.hu
    rows, columns = body_box(hu[spread_indices(hu.shape[0], 8)], pair.first.spacing_mm)
    factor = pair.factor
    fine = tuple(slice(s.start * factor, s.stop * factor) for s in (rows, columns))

    def encode(k: int) -> dict[str, Any]:
        return {
            "number": k + 1,
            "before": data_uri(to_codes(hu[k][rows, columns])),
            "after": data_uri(to_codes(pair.fine(k)[fine])),
        }

    first = encode(hu.shape[0] // 2)
    affordable = max(1, max_bytes // (len(first["before"]) + len(first["after"])))
    chosen = spread_indices(hu.shape[0], min(max_slices, affordable))
    # PNG compression runs outside the interpreter's lock.
    with ThreadPoolExecutor(2) as pool:
        shown = list(pool.map(encode, chosen))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return {
        "names": list(names),
        "hu": [float(v) for v in CODE_HU],
        "windows": {name: [w.center, w.width] for name, w in WINDOWS.items()},
        "width": width,
        "height": height,
        "factor": factor,
        "width_mm": width * pair.first.spacing_mm[2],
        "height_mm": height * pair.first.spacing_mm[1],
        "total": hu.shape[0],
        "slices": shown,
    }
