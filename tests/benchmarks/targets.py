"""What was to be reached, and whether it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from benchmarks import pooling
from benchmarks.methods import Method
from benchmarks.pooling import Records
from benchmarks.strength_check import root_error

BANDS: Final = (0.7, 1.4)
CONVENTION: Final = "redcnn"


@dataclass(frozen=True)
class Check:
    """One target: words, the number that was found, whether it meets the target."""

    target: str
    found: str
    met: bool

    @classmethod
    def at_least(cls, target: str, value: float, limit: float, unit: str, where: str = "") -> Check:
        """Met if the value is no less than the limit."""
        return cls(target, f"{value:+.2f} {unit}{where}", bool(value >= limit))


def denoising(rows: list[Method], records: Mapping[str, Records]) -> list[Check]:
    """Targets at scale 1.

    Args:
        rows: the methods; those without records are left out.
        records: method → scan → figures.
    """
    psnr = {row.name: pooling.fidelity(records[row.name], CONVENTION, "psnr_db") for row in rows}
    classical = [row.name for row in rows if row.kind == "classical"]
    peers = [row.name for row in rows if row.kind in ("classical", "peer")]
    best = {scan: max(psnr[name][scan] for name in classical) for scan in psnr["input"]}
    gain, scan = _worst({s: psnr["smooth"][s] - best[s] for s in best})
    checks = [
        Check.at_least("`smooth` ≥ 1.0 dB above the best tuned filter, every scan", gain, 1.0, "dB", f" ({scan})")
    ]
    if {"red-cnn", "ours-equal-smooth"} <= set(psnr):
        margin = pooling.mean(psnr["ours-equal-smooth"]) - pooling.mean(psnr["red-cnn"])
        checks.append(Check.at_least("our net ≥ RED-CNN, equal training time", margin, 0.0, "dB"))
    price, scan = _worst({s: psnr["normal-dose"][s] - psnr["smooth"][s] for s in best})
    checks.append(
        Check("`normal-dose` within 1.3 dB of `smooth`, every scan", f"{price:+.2f} dB ({scan})", price >= -1.3)
    )
    gain, scan = _worst({s: psnr["normal-dose"][s] - best[s] for s in best})
    checks.append(
        Check.at_least("`normal-dose` above the best tuned filter, every scan", gain, 0.0, "dB", f" ({scan})")
    )
    mine = records["normal-dose"]
    for band, (ratio, low, high) in pooling.band_ratios(mine).items():
        told = f"{ratio:.3f} (scans {low:.2f} to {high:.2f})"
        checks.append(Check(f"noise power 0.7 to 1.4 of normal dose, {band}", told, BANDS[0] <= ratio <= BANDS[1]))
    shift = pooling.frequency_shift(mine, "peak_per_mm")
    checks.append(Check("NPS peak shift < 10 %", f"{shift:.1%}", shift < 0.1))
    ccc = {name: pooling.mean(pooling.radiomic_concordance(records[name])) for name in [*peers, "normal-dose"]}
    checks.append(_against("radiomic concordance above every peer's", ccc, peers, "normal-dose", larger=True))
    for style in ("smooth", "normal-dose"):
        shifts = pooling.tissue_shift(records[style])
        tissue, (_, worst) = max(shifts.items(), key=lambda item: abs(item[1][1]))
        checks.append(
            Check(
                f"`{style}`: every tissue's mean within 1 HU of the input's",
                f"{worst:+.2f} HU ({tissue})",
                abs(worst) < 1,
            )
        )
    if {"smooth-fast", "normal-dose-fast"} <= set(psnr):
        for style in ("smooth", "normal-dose"):
            loss = pooling.mean(psnr[f"{style}-fast"]) - pooling.mean(psnr[style])
            checks.append(Check(f"`{style}`: fast bundle < 0.2 dB below the whole one", f"{loss:+.2f} dB", loss > -0.2))
    index = {name: pooling.structure(records[name]) for name in [*peers, "normal-dose"]}
    checks.append(_against("structure index below every peer's", index, peers, "normal-dose", larger=False))
    return checks


def hu_bias(biases: Mapping[str, Records]) -> list[Check]:
    """Targets of what a style does to means of tissues by itself, noise aside: style → scan → figures."""
    checks = []
    for style, records in biases.items():
        tissue, (_, worst) = max(pooling.tissue_shift(records).items(), key=lambda item: abs(item[1][1]))
        target = f"`{style}`: HU bias < 1 HU in every tissue and scan"
        checks.append(Check(target, f"{worst:+.2f} HU ({tissue})", abs(worst) < 1))
    return checks


def resolution(in_plane: Mapping[str, Any], through: Mapping[str, Any]) -> list[Check]:
    """Targets of super-resolution: scan → dose → method → dB; for `through` by "factor scan"."""
    checks = []
    for dose, limit in (("1", 1.0), ("0.25", 3.0)):
        if in_plane:
            target = f"×2 in plane, dose {dose}: {limit:g} dB above B-spline"
            checks.append(Check.at_least(target, *_gain(in_plane.values(), dose, limit)))
    for factor in (2, 5):
        mine = [table for name, table in through.items() if name.startswith(f"{factor} ")]
        for dose in ("1", "0.25"):
            if mine:
                target = f"×{factor} through plane, dose {dose}: 1.5 dB above B-spline"
                checks.append(Check.at_least(target, *_gain(mine, dose, 1.5)))
    return checks


def kernels(table: Mapping[str, Mapping[str, float]]) -> list[Check]:
    """Targets of the kernel pair."""
    checks = []
    for direction, rows in table.items():
        ours = next((value for name, value in rows.items() if name.startswith("`")), None)
        for than, value in rows.items():
            if than.startswith("`"):
                continue
            target = f"{direction}: at most half the RMSE of {than}"
            if ours is None:
                checks.append(Check(target, "the bundle has no such style", False))
            else:
                checks.append(Check(target, f"{ours:.1f} HU, half is {value / 2:.1f}", ours <= value / 2))
    return checks


def eight_bits(table: Mapping[str, Mapping[str, float]]) -> list[Check]:
    """What 8-bit integers may change: see `precision.compare`."""
    if not table:
        return []
    mean, where = max((row["mean_hu"], scan) for scan, row in table.items())
    bias, there = max((abs(row["bias_hu"]), scan) for scan, row in table.items())
    changes = [row["psnr_db"] for row in table.values()]
    change, told = float(np.mean(changes)), f"scans {min(changes):+.2f} to {max(changes):+.2f}"
    name = "`smooth` in 8-bit integers"
    return [
        Check(f"{name}: mean difference ≤ 1.5 HU, every scan", f"{mean:.2f} HU ({where})", mean <= 1.5),
        Check(f"{name}: bias ≤ 0.5 HU, every scan", f"{bias:.2f} HU ({there})", bias <= 0.5),
        Check(f"{name}: loss < 0.05 dB", f"{change:+.3f} dB ({told})", change > -0.05),
    ]


def strength(table: Mapping[str, Any]) -> list[Check]:
    """Does `--dose F` leave √F of the noise."""
    worst = {scan: root_error(result["dose"]) for scan, result in table.items()}
    found = [(error, scan) for scan, error in worst.items() if np.isfinite(error)]
    if not found:
        return []
    error, scan = max(found)
    return [
        Check("`--dose F` leaves √F of the noise amplitude, within 10 %", f"off by {error:.0%} ({scan})", error < 0.1)
    ]


def _gain(tables: Iterable[Mapping[str, Any]], dose: str, limit: float) -> tuple[float, float, str, str]:
    """Mean gain over B-spline of the one style that is best over all scans, its limit, unit and name."""
    rows = [table[dose] for table in tables]
    styles = [name for name in rows[0] if name.startswith("`")]
    gains = {style: pooling.mean([row[style] - row["B-spline"] for row in rows]) for style in styles}
    best = max(gains, key=lambda style: gains[style])
    return gains[best], limit, "dB", f" ({best})"


def _worst(values: Mapping[str, float]) -> tuple[float, str]:
    scan = min(values, key=lambda name: values[name])
    return values[scan], scan


def _against(target: str, values: Mapping[str, float], peers: list[str], mine: str, *, larger: bool) -> Check:
    pick = max if larger else min
    rival = pick(peers, key=lambda name: values[name])
    met = values[mine] > values[rival] if larger else values[mine] < values[rival]
    return Check(target, f"{values[mine]:.3f}, best peer {values[rival]:.3f} ({rival})", met)
