"""What vendors' names of reconstruction kernels say of the noise behind them: soft, standard, sharp or very sharp.

Vendors name kernels, they do not publish them. The classes follow the pairs that multi-vendor studies chose as
equivalents: GE STANDARD, Siemens B30f, Philips C, Toshiba FC10 for soft tissue with GE BONE, Siemens B50f, Philips D,
Toshiba FC51 for lungs (National Lung Screening Trial, its data dictionary and doi:10.1148/radiol.10091808), and GE
STANDARD, Siemens B31f, Philips B with GE BONE, Siemens B46f, Philips D (COPDGene, doi:10.3109/15412550903499522).

Only kernels of the body have a class: heads are scanned with other filters, corrections and far more dose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

SOFT: Final = "soft"
STANDARD: Final = "standard"
SHARP: Final = "sharp"
VERY_SHARP: Final = "very sharp"
CLASSES: Final = (SOFT, STANDARD, SHARP, VERY_SHARP)

_GE: Final = {
    # GE's algorithms from smooth to sharp: Soft, Standard, Detail, Lung, Bone, Bone Plus, Edge. Noise spectra of some,
    # beside Siemens' nearest: Solomon and Samei 2012, doi:10.1118/1.4752209.
    SOFT: ("SOFT",),
    STANDARD: ("STANDARD", "STAND", "STD", "STD+", "DETAIL", "CHST", "CHEST"),
    SHARP: ("LUNG", "BONE"),
    VERY_SHARP: ("BONEPLUS", "EDGE", "ULTRA", "HD ULTRA"),
}
_PHILIPS: Final = {
    # Philips: letters from smooth (A) to sharp (E), L for lungs, YA to YD with edge enhancement. B and C are the soft
    # tissue kernels, D the lung kernel, of the studies named above.
    SOFT: ("A",),
    STANDARD: ("B", "C"),
    SHARP: ("D", "L", "YA", "YB"),
    VERY_SHARP: ("E", "YC", "YD"),
}
_SIEMENS: Final = re.compile(r"(?:B[RFLVCP]?|I|QR?|D)(\d\d)[A-Z]?")
_SIEMENS_UP_TO: Final = ((27, SOFT), (45, STANDARD), (69, SHARP), (99, VERY_SHARP))
"""Number and class: the operating instructions of the SOMATOM Sensation name B30 and B40 the standard for body tissue,
B20 and B10 softer, B50 to B80 sharper; two-letter kernels keep the scale (Br40 is the standard of the body). B46f is a
lung kernel in COPDGene."""
_TOSHIBA: Final = re.compile(r"FC0?(\d\d?)(?:[-_ ].*)?")
_TOSHIBA_RANGES: Final = (
    # Toshiba and Canon: FC01 to FC09 for bodies with and FC10 to FC19 without beam-hardening correction (FC10 in the
    # lung screening trial); FC20s, FC40s and FC60s for heads; FC30s for bone; FC50s for lungs (FC51 in that trial);
    # FC80s of high resolution.
    (range(1, 20), STANDARD),
    (range(30, 40), SHARP),
    (range(50, 60), SHARP),
    (range(80, 90), VERY_SHARP),
)


def kernel_class(manufacturer: str, kernel: Sequence[str]) -> str | None:
    """Class of a reconstruction kernel, or None where the name does not tell.

    Args:
        manufacturer: Manufacturer (0008,0070).
        kernel: values of ConvolutionKernel (0018,1210); the first names the kernel.

    >>> kernel_class("SIEMENS", ["B70f"])
    'very sharp'
    """
    name = kernel[0].strip().upper() if kernel else ""
    vendor = manufacturer.upper()
    for known, read in _VENDORS.items():
        if known in vendor:
            return read(name)
    return None


def is_iterative(manufacturer: str, kernel: Sequence[str]) -> bool:
    """Whether the kernel tells of iterative reconstruction: Siemens' I kernels, and strengths as second value."""
    first = kernel[0].strip().upper() if kernel else ""
    siemens = "SIEMENS" in manufacturer.upper()
    return siemens and (re.match(r"I\d\d", first) is not None or (len(kernel) > 1 and kernel[1].strip().isdigit()))


def _listed(names: dict[str, tuple[str, ...]]) -> Callable[[str], str | None]:
    classes = {name: kind for kind, several in names.items() for name in several}
    return classes.get


def _siemens(name: str) -> str | None:
    found = _SIEMENS.fullmatch(name)
    if found is None or int(found[1]) < 8:
        return None
    return next(kind for most, kind in _SIEMENS_UP_TO if int(found[1]) <= most)


def _toshiba(name: str) -> str | None:
    found = _TOSHIBA.fullmatch(name)
    if found is None:
        return None
    return next((kind for numbers, kind in _TOSHIBA_RANGES if int(found[1]) in numbers), None)


_VENDORS: Final[dict[str, Callable[[str], str | None]]] = {
    "GE MEDICAL": _listed(_GE),
    "GE HEALTHCARE": _listed(_GE),
    "SIEMENS": _siemens,
    "PHILIPS": _listed(_PHILIPS),
    "TOSHIBA": _toshiba,
    "CANON": _toshiba,
}
