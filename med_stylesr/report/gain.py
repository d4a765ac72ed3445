"""How much nearer a result is to its normal-dose partner than the input was, in every convention of PSNR and SSIM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from med_stylesr.metrics.fidelity import CONVENTIONS, slice_fidelity
from med_stylesr.report.aligned import AlignedPair
from med_stylesr.volume import CTVolume


@dataclass(frozen=True)
class Gain:
    """Means over all slices, input and result against normal dose.

    Attributes:
        convention: name in `metrics.fidelity.CONVENTIONS`.
        used_by: who reports figures in it.
        psnr_db: of the input and of the result.
        ssim: likewise.
    """

    convention: str
    used_by: str
    psnr_db: tuple[float, float]
    ssim: tuple[float, float]

    @property
    def words(self) -> str:
        """Both figures in one line."""
        (p, q), (s, t) = self.psnr_db, self.ssim
        return f"{p:.2f} → {q:.2f} dB, {s:.3f} → {t:.3f}"


def gains(before: CTVolume, after: CTVolume, reference: CTVolume) -> list[Gain]:
    """One entry a convention, on the positions of `before` that both others cover.

    Args:
        before: the input.
        after: the result.
        reference: the normal-dose scan.
    """
    result, normal = AlignedPair(before, after), AlignedPair(before, reference)
    planes = [(before.hu[k].astype(np.float32), result.common(k), normal.common(k)) for k in range(len(before.hu))]
    covered = [plane for plane in planes if all(np.isfinite(image).all() for image in plane)]
    found = []
    for name, convention in CONVENTIONS.items():
        scores = [[slice_fidelity(image, truth, convention) for image in (low, made)] for low, made, truth in covered]
        if scores:
            psnr, ssim = (np.mean([[s[key] for s in pair] for pair in scores], axis=0) for key in ("psnr_db", "ssim"))
            found.append(Gain(name, convention.source, (psnr[0], psnr[1]), (ssim[0], ssim[1])))
    return found
