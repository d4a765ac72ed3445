"""Traffic lights: what was measured against a stated limit, with the limit's source and what a miss means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from med_stylesr.metrics.bias import BIAS_LIMIT_HU
from med_stylesr.report.display import signed
from med_stylesr.report.measures import PairMeasures

Verdict = Literal["good", "fair", "poor", "unknown"]

_OWN: Final = "limit of this project; no standard sets one"


@dataclass(frozen=True)
class Check:
    """One line of the summary.

    Attributes:
        name: what is judged.
        measured: value in words.
        verdict: good, fair, poor, or unknown where it could not be measured.
        limit: the limits for good and fair, in words.
        source: who sets them.
        meaning: what to think of when it is not good.
    """

    name: str
    measured: str
    verdict: Verdict
    limit: str
    source: str
    meaning: str


def checks(measures: PairMeasures) -> list[Check]:
    """Judge a scan before and after enhancement, without a reference."""
    return [_shift(measures), _noise(measures), _texture(measures), _sharpness(measures), *_structure(measures)]


def _shift(m: PairMeasures) -> Check:
    worst = m.worst_shift
    return Check(
        "HU of every tissue",
        f"{signed(worst[1])} HU in {worst[0]}" if worst else "no tissue large enough",
        _below(abs(worst[1]) if worst else None, BIAS_LIMIT_HU, 4.0),
        "good ≤ 1 HU, fair ≤ 4 HU",
        "promise of this project; ACR CT accreditation allows water 7 HU",
        "Thresholds (fat, calcium, emphysema) would move.",
    )


def _noise(m: PairMeasures) -> Check:
    known = m.noise_before_hu is not None and m.noise_after_hu is not None and m.noise_before_hu > 0
    ratio = m.noise_after_hu / m.noise_before_hu if known else None  # type: ignore[operator]
    verdict: Verdict = "unknown"
    if ratio is not None:
        verdict = "good" if 0.3 <= ratio <= 1.02 else "fair" if 0.15 <= ratio <= 1.1 else "poor"
    return Check(
        "Noise",
        f"{m.noise_before_hu:.1f} → {m.noise_after_hu:.1f} HU ({ratio:.0%})" if ratio is not None else "not measurable",
        verdict,
        "good 30–102 % of the input's, fair 15–110 %",
        _OWN + "; 30 % stands for eleven times the dose",
        "Too little noise looks plastic and hides low contrast; more than before means failure.",
    )


def _texture(m: PairMeasures) -> Check:
    before, after = m.nps_before, m.nps_after
    if before is None or after is None or not before.mean_per_mm > 0:
        measured, change = "not measurable", None
    else:
        measured = f"mean frequency {before.mean_per_mm:.2f} → {after.mean_per_mm:.2f} /mm"
        change = abs(after.mean_per_mm / before.mean_per_mm - 1)
    return Check(
        "Noise texture",
        measured,
        _below(change, 0.15, 0.30),
        "good within 15 %, fair within 30 % of the input's",
        _OWN + "; measure: AAPM TG-233. Dose alone leaves the texture as it is",
        "Coarser noise looks blotchy and hides lesions of its own size.",
    )


def _sharpness(m: PairMeasures) -> Check:
    f50 = m.f50_per_mm
    loss = 1 - f50[1] / f50[0] if f50 else None
    return Check(
        "Sharpness at the skin",
        f"f50 {f50[0]:.2f} → {f50[1]:.2f} /mm" if f50 else "no clean stretch of skin",
        _below(loss, 0.10, 0.25),
        "good: lost at most 10 %, fair 25 %",
        _OWN + "; measure: doi:10.1118/1.4961984",
        "High-contrast edges were blurred; low contrast may be blurred more.",
    )


def _structure(m: PairMeasures) -> list[Check]:
    loss, share = m.structure_loss, m.odd_share
    return [
        Check(
            "Structure in what was removed",
            f"{loss:.1%} of what a blur of one pixel takes" if loss is not None else "slices too few or too far apart",
            _below(loss, 0.1, 0.5),
            "good ≤ 10 %, fair ≤ 50 %",
            _OWN + "; a Gaussian of half a pixel takes 5–10 %, a 3 × 3 median up to 40 %",
            "Anatomy went out with the noise: look at the difference image.",
        ),
        Check(
            "Places of unusual change",
            f"{share:.3%} of the body" if share is not None else "not measurable",
            _below(share, 0.002, 0.01),
            "good ≤ 0.2 %, fair ≤ 1 %",
            _OWN + "; noise alone leaves under 0.001 % beyond 5 standard deviations",
            "Something may have been added or taken away there: see the map.",
        ),
    ]


def _below(value: float | None, good: float, fair: float) -> Verdict:
    if value is None:
        return "unknown"
    return "good" if value <= good else "fair" if value <= fair else "poor"
