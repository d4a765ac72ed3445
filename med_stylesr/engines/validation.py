"""Validation figures as ignite metrics, in named conventions, on HU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.handlers import from_engine
from torch import Tensor

from med_stylesr.hu import TISSUES
from med_stylesr.losses.reduction import per_sample
from med_stylesr.metrics.fidelity import CONVENTIONS, psnr_db


class Fidelity(Metric):
    """Mean over images of PSNR (dB) or RMSE (HU) of `pred` against `label` in a named convention.

    Args:
        convention: a name of `med_stylesr.metrics.fidelity.CONVENTIONS`.
        figure: `"psnr_db"` or `"rmse_hu"`.
    """

    _state_dict_all_req_keys = ("_sum", "_count")

    def __init__(self, convention: str, figure: str) -> None:
        self.convention, self.figure = CONVENTIONS[convention], figure
        super().__init__(output_transform=from_engine(["pred", "label"]))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget the images so far."""
        self._sum, self._count = torch.zeros((), dtype=torch.float64), 0

    @reinit__is_reduced
    def update(self, output: Sequence[Sequence[Tensor] | Tensor]) -> None:
        """Add images: two lists of (1, …) HU tensors, or two tensors (B, 1, …)."""
        for pred, label in zip(*output, strict=True):
            low, high = self.convention.low, self.convention.high
            error = pred.double().clamp(low, high) - label.double().clamp(low, high)
            square = float(per_sample(error[None].square()))
            value = psnr_db(square, self.convention.data_range) if self.figure == "psnr_db" else square**0.5
            self._sum, self._count = self._sum + value, self._count + 1

    @sync_all_reduce("_sum", "_count")
    def compute(self) -> float:
        """Return the mean over all images (and processes)."""
        return float(self._sum) / max(1, self._count)


class LargestHUShift(Metric):
    """Largest absolute mean difference, in HU, of `pred` and `label` over tissue classes that the label shows.

    Voxels are assigned to air, lung, fat, soft tissue and bone by the label's value (`med_stylesr.hu.TISSUES`), so
    noise in the label adds a little regression to the mean: compare runs with each other, not with zero.

    Args:
        min_voxels: classes with fewer voxels in all images together are left out.
    """

    _state_dict_all_req_keys = ("_sums", "_counts")

    def __init__(self, min_voxels: int) -> None:
        self.min_voxels = min_voxels
        super().__init__(output_transform=from_engine(["pred", "label"]))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget the images so far."""
        self._sums = torch.zeros(len(TISSUES), dtype=torch.float64)
        self._counts = torch.zeros(len(TISSUES), dtype=torch.float64)

    @reinit__is_reduced
    def update(self, output: Sequence[Sequence[Tensor] | Tensor]) -> None:
        """Add images: two lists of (1, …) HU tensors, or two tensors (B, 1, …)."""
        for pred, label in zip(*output, strict=True):
            difference = (pred - label).double().cpu()
            for k, tissue in enumerate(TISSUES.values()):
                inside = ((label >= tissue.low) & (label < tissue.high)).cpu()
                self._sums[k] += difference[inside].sum()
                self._counts[k] += inside.sum()

    @sync_all_reduce("_sums", "_counts")
    def compute(self) -> float:
        """Return the largest shift in HU."""
        shown = self._counts >= self.min_voxels
        return float((self._sums[shown] / self._counts[shown]).abs().max()) if bool(shown.any()) else 0.0
