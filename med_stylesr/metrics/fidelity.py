"""Closeness to a reference, in every convention in use, each named: PSNR means nothing without its convention.

Four real quarter-dose slices, unprocessed, score 27.6, 31.0, 40.0 or 45.8 dB depending on the convention alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Convention:
    """How HU are clipped and scaled before a comparison.

    Attributes:
        low: HU below are clipped to this; −inf to leave them.
        high: HU above are clipped to this; +inf to leave them.
        data_range: the peak of PSNR and the dynamic range L of SSIM, HU.
        ssim_window: "gaussian" (11 pixels, σ = 1.5, Wang 2004) or "uniform" (7 pixels, scikit-image's default).
        source: who uses it.
    """

    low: float
    high: float
    data_range: float
    ssim_window: Literal["gaussian", "uniform"]
    source: str

    def apply(self, hu: NDArray[Any]) -> NDArray[np.float64]:
        """HU clipped to the convention's range, float64."""
        return np.clip(np.asarray(hu, dtype=np.float64), self.low, self.high)


def _ldct_benchmark(center: float, width: float, part: str) -> Convention:
    # DICOM's linear VOI function (PS3.3 C.11.2.1.2.1): the window spans width − 1, half a unit below its centre.
    low = center - 0.5 - (width - 1) / 2
    return Convention(
        low, low + width - 1, width - 1, "uniform", f"ldct-benchmark, {part} (Eulig et al. 2024, doi:10.1002/mp.17379)"
    )


CONVENTIONS: Final[dict[str, Convention]] = {
    "redcnn": Convention(
        -160, 240, 400, "gaussian", "RED-CNN and its successors (Chen et al. 2017, doi:10.1109/TMI.2017.2715284)"
    ),
    "soft300": Convention(-300, 300, 600, "gaussian", "clip to ±300 HU"),
    "hu1000": Convention(-1000, 1000, 2000, "gaussian", "clip to ±1000 HU"),
    "full": Convention(-np.inf, np.inf, 4096, "gaussian", "no clipping, 12-bit range"),
    "ldct_chest": _ldct_benchmark(-600, 1500, "chest"),
    "ldct_abdomen": _ldct_benchmark(50, 400, "abdomen"),
    "ldct_neuro": _ldct_benchmark(40, 80, "neuro"),
}
"""Name to convention. Published tables can be compared with the same name only."""


def psnr_db(mean_square_error: float, data_range: float) -> float:
    """Peak signal-to-noise ratio 10·log10(L² / MSE) in dB; infinite for equal images.

    >>> round(psnr_db(4.0, 400.0), 3)
    46.021
    """
    return float(10 * np.log10(data_range**2 / mean_square_error)) if mean_square_error > 0 else float("inf")


def slice_fidelity(
    pred: NDArray[Any], reference: NDArray[Any], convention: Convention, body: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """PSNR, SSIM, RMSE and MAE of one slice in one convention.

    Args:
        pred: HU, shape (rows, columns).
        reference: HU of the same shape.
        convention: clipping and data range.
        body: mask of the patient. If given, every figure is also there over the mask alone, prefixed `body_`; the air
            around the patient is easy and raises the whole-image figures.

    Returns:
        psnr_db, ssim, rmse_hu, mae_hu of the whole image, as papers print them, and their `body_` twins (NaN for an
        empty mask).

    Raises:
        ValueError: if the shapes differ.

    Source:
        SSIM: Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    if pred.shape != reference.shape:
        raise ValueError(f"images on different grids: {pred.shape} and {reference.shape}")
    x, y = convention.apply(pred), convention.apply(reference)
    error = x - y
    similarity = ssim_map(x, y, convention)
    # scikit-image leaves out the border that the window does not fit into; so does the mean here.
    edge = 5 if convention.ssim_window == "gaussian" else 3
    inner = np.zeros(x.shape, dtype=bool)
    inner[edge:-edge, edge:-edge] = True
    values = _figures(error, similarity[inner], convention, "")
    if body is not None:
        values |= _figures(error[body], similarity[body & inner], convention, "body_")
    return values


def ssim_map(x: NDArray[np.float64], y: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Structural similarity at every pixel of two clipped slices (needs the `report` extra)."""
    from skimage.metrics import structural_similarity

    if convention.ssim_window == "gaussian":
        options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    else:
        options = {"win_size": 7}
    full = structural_similarity(y, x, data_range=convention.data_range, full=True, **options)[1]
    return np.asarray(full, dtype=np.float64)


def volume_fidelity(
    pred: NDArray[Any],
    reference: NDArray[Any],
    body: NDArray[np.bool_] | None = None,
    conventions: Mapping[str, Convention] | None = None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Every convention on every slice of a volume.

    Args:
        pred: HU, shape (slices, rows, columns).
        reference: HU on the same grid.
        body: mask of the patient, same shape.
        conventions: which; all of `CONVENTIONS` when left out.

    Returns:
        convention name → figure name → values, shape (slices,). Papers average these over slices.
    """
    chosen = CONVENTIONS if conventions is None else conventions
    table: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, convention in chosen.items():
        rows = [
            slice_fidelity(p, r, convention, None if body is None else body[k])
            for k, (p, r) in enumerate(zip(pred, reference, strict=True))
        ]
        table[name] = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return table


def _figures(
    error: NDArray[np.float64], similarity: NDArray[np.float64], convention: Convention, prefix: str
) -> dict[str, float]:
    if error.size == 0:
        return {prefix + key: float("nan") for key in ("psnr_db", "ssim", "rmse_hu", "mae_hu")}
    square = float((error**2).mean())
    return {
        f"{prefix}psnr_db": psnr_db(square, convention.data_range),
        f"{prefix}ssim": float(similarity.mean()) if similarity.size else float("nan"),
        f"{prefix}rmse_hu": float(np.sqrt(square)),
        f"{prefix}mae_hu": float(np.abs(error).mean()),
    }
