"""What noise a scan of normal dose has, and so which fraction of normal dose a noisier scan was made with.

Of N photons that reach the detector, noise goes as 1/√N. For a kernel of class c, slices of thickness T and a body of
water-equivalent diameter D,

    log σ = a + a_c + ½ log(T₀ / T) + ½ κ μ (D − D₀)

a being the level behind a standard kernel and κ the share of the body's attenuation that tube current leaves
(1 for a fixed current, 0 for one that keeps the noise of every patient the same). a, a_c and κ are learned from scans
of normal dose (`normal_dose_fit`); μ = 0.019 /mm is water's at 70 keV, about the mean energy behind a body at 120 kV
(NIST: 0.0206 /mm at 60 keV, 0.0184 /mm at 80 keV). A class that no learning scan has is not foretold.
A scan with q times the noise was made with F = 1/q² of the dose.

Single scans scatter about that law as much as doses do, so F of one scan is estimated as Bayes would: what its noise
says and what is assumed before it is measured: that every dose from 5 % of normal dose, the least that the networks
were trained on, to normal is as likely as another on a logarithmic scale. No scan is taken to have had more.

Normal dose is what the learning scans were made with. Hospitals differ by a factor of two and more (Smith-Bindman et
al. 2016, doi:10.1148/radiol.2016151391), so F tells in which range a scan lies, not its dose.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from med_stylesr.errors import UsageError
from med_stylesr.metrics.body_size import body_size

FILE: Final = Path("models") / "normal_dose_noise.json"
"""Place of the table in a bundle: beside the weights it was learned with."""
WATER_PER_MM: Final = 0.019
REFERENCE_THICKNESS_MM: Final = 2.5
REFERENCE_WED_MM: Final = 280.0
"""Middle of adults' chests and abdomens; only where the offsets are told, not what they mean."""
BEYOND_THICKNESS: Final = 2.0
"""Factor below and above the thicknesses of the learning scans up to which the law is trusted."""
BEYOND_WED_MM: Final = 50.0
BEYOND_KVP: Final = 20.0
LEAST_DOSE: Final = 0.05
"""The least fraction of normal dose that a scan is taken to have been made with; networks were trained from here on."""
_LOG_DOSES: Final = np.linspace(math.log(LEAST_DOSE), 0.0, 601)
_STEP: Final = float(_LOG_DOSES[1] - _LOG_DOSES[0])
_ONE_SD: Final = (0.1587, 0.8413)
"""Shares of a normal distribution below one standard deviation under and over its mean."""
MOST_TRUNCATED: Final = 0.5
"""Diameters come out 5 to 7 % too small where 30 to 50 % of the outline are cut off on both sides, and worse beyond
(abstract P014 in Physica Medica: Influence of image truncation on the calculation of water equivalent diameter)."""


@dataclass(frozen=True)
class Acquisition:
    """What of a scan decides on its noise, beside dose.

    Attributes:
        kernel_class: soft, standard, sharp or very sharp (`io.kernel_names`); None if the kernel is not known.
        thickness_mm: SliceThickness; None if unknown.
        pixel_spacing_mm: (row, column).
        kvp: tube voltage in kV, None if unknown.
        axial: whether slices lie across the body; reformatted ones tell neither its size nor how thick they are.
        iterative: whether reconstruction is known to have taken noise away.
        wed_mm: water-equivalent diameter; None where it has not been measured.
    """

    kernel_class: str | None
    thickness_mm: float | None
    pixel_spacing_mm: tuple[float, float]
    kvp: float | None = None
    axial: bool = True
    iterative: bool = False
    wed_mm: float | None = None


@dataclass(frozen=True)
class ExpectedNoise:
    """Noise of a normal-dose scan.

    Attributes:
        noise_hu: its standard deviation in soft tissue.
        spread: standard deviation of its logarithm from scan to scan: 0.3 means within 30 % two times in three.
    """

    noise_hu: float
    spread: float


@dataclass(frozen=True)
class DoseEstimate:
    """Fraction of normal dose that a scan was made with, as far as its noise tells.

    Attributes:
        dose_fraction: the likely one, in (0, 1]; None where the table cannot tell.
        dose_range: two thirds of what is likely lie in it.
        measured_hu: noise of the scan.
        expected_hu: noise of a normal-dose scan of this kind.
        kernel_class: of the scan.
        wed_mm: water-equivalent diameter of the body.
        note: why there is no estimate, or what it leaves open; one line, may be empty.
    """

    dose_fraction: float | None
    dose_range: tuple[float, float] | None
    measured_hu: float
    expected_hu: float | None
    kernel_class: str | None
    wed_mm: float | None
    note: str

    def facts(self) -> dict[str, Any]:
        """JSON-able record for the manifest and the report."""
        told = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}
        return {**told, "dose_range": [round(f, 4) for f in self.dose_range] if self.dose_range else None}


@dataclass(frozen=True)
class KernelNoise:
    """What is known of a class of kernels.

    Attributes:
        offset: a_c, logarithm of the noise it lets through, near 0 for a standard kernel.
        spread: see `ExpectedNoise`; holds what the offset itself is uncertain by.
        scans: it was learned from.
    """

    offset: float
    spread: float
    scans: int


@dataclass(frozen=True)
class NormalDoseNoise:
    """Table of normal-dose noise.

    Attributes:
        level: a, logarithm of noise in HU at `REFERENCE_THICKNESS_MM` and `REFERENCE_WED_MM`.
        size_share: κ.
        classes: by name; classes without learning scans are absent.
        thickness_mm: least and most of the learning scans.
        wed_mm: least and most of the learning scans.
        kvp: least and most of the learning scans.
        weights_sha256: of the weights that noise was measured with.
        style: with which noise was measured.
        learned_from: a record of every learning scan, and how well the table foretells it without that scan.
    """

    level: float
    size_share: float
    classes: Mapping[str, KernelNoise]
    thickness_mm: tuple[float, float]
    wed_mm: tuple[float, float]
    kvp: tuple[float, float]
    weights_sha256: str
    style: str
    learned_from: Mapping[str, Any]

    @classmethod
    def of_bundle(cls, bundle: Path) -> NormalDoseNoise | None:
        """The table that comes with a bundle; None if it has none.

        Raises:
            UsageError: if it is damaged.
        """
        path = bundle / FILE
        return cls.load(path) if path.is_file() else None

    @classmethod
    def load(cls, path: Path) -> NormalDoseNoise:
        """Read a table.

        Raises:
            UsageError: if it is damaged.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            classes = {name: KernelNoise(**one) for name, one in told.pop("classes").items()}
            ranges = {key: (float(told[key][0]), float(told[key][1])) for key in ("thickness_mm", "wed_mm", "kvp")}
            return cls(**{**told, **ranges, "classes": classes})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            why = f"is no table of normal-dose noise ({type(error).__name__}: {error})"
            raise UsageError(
                str(path), why, "restore it or learn it again: tools/learn_normal_dose_noise.py"
            ) from error

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def digest(self) -> str:
        """SHA-256 of what it says, hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def expected(self, acquisition: Acquisition) -> ExpectedNoise | None:
        """Noise of a normal-dose scan of this kind; None where the table cannot tell (`unknown` says why)."""
        if self.unknown(acquisition) or acquisition.thickness_mm is None or acquisition.wed_mm is None:
            return None
        kernel = self.classes[str(acquisition.kernel_class)]
        thin, large = log_thickness(acquisition.thickness_mm), log_attenuation(acquisition.wed_mm)
        return ExpectedNoise(math.exp(self.level + kernel.offset + thin + self.size_share * large), kernel.spread)

    def unknown(self, acquisition: Acquisition) -> str:
        """What keeps the table from telling, in words; empty if nothing does."""
        kernel, thickness, wed, kvp = (
            acquisition.kernel_class,
            acquisition.thickness_mm,
            acquisition.wed_mm,
            acquisition.kvp,
        )
        if not acquisition.axial:
            return "slices are not axial"
        if kernel is None:
            return "reconstruction kernel not known"
        if kernel not in self.classes:
            return f"no scan with a {kernel} kernel to compare with"
        if thickness is None:
            return "slice thickness not known"
        if not self.thickness_mm[0] / BEYOND_THICKNESS <= thickness <= self.thickness_mm[1] * BEYOND_THICKNESS:
            return f"slice thickness of {thickness:g} mm is far from what is known"
        if kvp is not None and not self.kvp[0] - BEYOND_KVP <= kvp <= self.kvp[1] + BEYOND_KVP:
            return f"tube voltage of {kvp:g} kV is far from what is known"
        if wed is None:
            return "body not measurable"
        if not self.wed_mm[0] - BEYOND_WED_MM <= wed <= self.wed_mm[1] + BEYOND_WED_MM:
            return f"body of {wed:.0f} mm water-equivalent diameter is far from what is known"
        return ""

    def dose_fraction(self, measured_noise_hu: float, acquisition: Acquisition) -> float | None:
        """F = min(1, (expected / measured)²), what noise alone says, in (0, 1]; None where the table cannot tell."""
        expected = self.expected(acquisition)
        if expected is None:
            return None
        return 1.0 if measured_noise_hu <= expected.noise_hu else (expected.noise_hu / measured_noise_hu) ** 2

    def likely_dose(self, measured_noise_hu: float, acquisition: Acquisition) -> tuple[float, float, float] | None:
        """The likely fraction of normal dose and its range, in (0, 1); None where the table cannot tell.

        F is exp of the mean of log F given the noise; the range holds two thirds of what is likely.
        """
        expected = self.expected(acquisition)
        if expected is None or not (math.isfinite(measured_noise_hu) and measured_noise_hu > 0):
            return None
        return likely_fraction(2 * math.log(expected.noise_hu / measured_noise_hu), 2 * expected.spread)

    def estimate(self, measured_noise_hu: float, acquisition: Acquisition | None, slices: NDArray[Any]) -> DoseEstimate:
        """Estimate the dose fraction of a scan, its body being measured in some slices.

        Args:
            measured_noise_hu: noise of the scan by `metrics.noise_model`.
            acquisition: what headers tell; None for volumes without.
            slices: HU (slices, rows, columns) of the slices that noise was measured in.
        """
        if acquisition is None:
            return DoseEstimate(None, None, measured_noise_hu, None, None, None, "no headers to know the kernel from")
        size = body_size(slices, acquisition.pixel_spacing_mm)
        cut = size is not None and size.truncated > MOST_TRUNCATED
        wed = None if size is None or cut else size.wed_mm
        known = replace(acquisition, wed_mm=wed)
        expected, likely = self.expected(known), self.likely_dose(measured_noise_hu, known)
        if expected is None or likely is None:
            return DoseEstimate(
                None, None, measured_noise_hu, None, known.kernel_class, known.wed_mm, self.unknown(known)
            )
        return DoseEstimate(
            dose_fraction=likely[0],
            dose_range=likely[1:],
            measured_hu=measured_noise_hu,
            expected_hu=expected.noise_hu,
            kernel_class=known.kernel_class,
            wed_mm=known.wed_mm,
            note="iterative reconstruction: the dose may have been lower" if known.iterative else "",
        )


def log_thickness(thickness_mm: float) -> float:
    """½ log(T₀ / T): thicker slices gather more photons."""
    return 0.5 * math.log(REFERENCE_THICKNESS_MM / thickness_mm)


def log_attenuation(wed_mm: float) -> float:
    """½ μ (D − D₀): what a larger body adds to log σ at a fixed tube current."""
    return 0.5 * WATER_PER_MM * (wed_mm - REFERENCE_WED_MM)


def likely_fraction(by_noise: float, spread: float) -> tuple[float, float, float]:
    """Likely fraction of normal dose, and its range, given what noise says of its logarithm and how surely."""
    exponent = -0.5 * ((_LOG_DOSES - by_noise) / max(spread, _STEP)) ** 2
    density = np.exp(exponent - exponent.max())
    below = np.cumsum(density) / density.sum()
    mean = float((density * _LOG_DOSES).sum() / density.sum())
    least, most = (float(np.interp(share, below, _LOG_DOSES)) for share in _ONE_SD)
    return math.exp(mean), math.exp(min(least, mean)), math.exp(max(most, mean))
