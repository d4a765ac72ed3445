"""What of a run can be refused at once, before anything heavy is imported or a model loaded."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from med_stylesr.errors import UsageError
from med_stylesr.io.publish import check_apart
from med_stylesr.service.manifest import NAME


def check_numbers(
    scale: Sequence[int],
    spacing_mm: Sequence[float] | None,
    strength: float | None,
    dose_fraction: float | None,
    target_noise_hu: float | None,
) -> None:
    """Refuse numbers that no scan and no bundle can make sense of; arguments as in `EnhanceSettings`.

    Raises:
        UsageError: naming the option.
    """
    if any(factor < 1 for factor in scale):
        raise UsageError(_option("--scale", scale), "factors are whole numbers from 1 on", "use --scale 1 1 1 for none")
    if spacing_mm is not None and not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise UsageError(_option("--spacing", spacing_mm), "millimetres must be more than 0")
    if spacing_mm is not None and any(factor != 1 for factor in scale):
        raise UsageError("--scale and --spacing", "both say how fine the result is to be", "give one of them")
    if strength is not None and not 0 <= strength <= 1:
        raise UsageError(f"--strength {strength:g}", "is not between 0 and 1", "use auto or 0 … 1")
    if dose_fraction is not None and not 0 < dose_fraction <= 1:
        raise UsageError(f"--dose {dose_fraction:g}", "is no fraction of normal dose", "use 0 < F ≤ 1")
    if target_noise_hu is not None and not (math.isfinite(target_noise_hu) and target_noise_hu > 0):
        raise UsageError(f"--target-noise {target_noise_hu:g}", "must be more than 0 HU")


def check_places(
    source: Path, dest: Path, *, resume: bool, overwrite: bool, deidentify: str | None, key_file: Path | None
) -> None:
    """Refuse places that cannot work.

    Raises:
        UsageError: if SOURCE is missing, DEST cannot be used or has results that may not be touched, or the key file
            would be passed on with the output.
    """
    if not source.exists():
        raise UsageError(str(source), "does not exist", "check SOURCE")
    check_apart(source, dest)
    standing = next(place for place in (dest, *dest.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise UsageError(str(dest), f"cannot be made, {standing} is a file", "choose another DEST")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise UsageError(str(dest), "cannot be written to", "check the permissions or choose another DEST")
    if (dest / NAME).exists() and not (resume or overwrite):
        why = "holds the results of an earlier run"
        raise UsageError(str(dest), why, "use --resume to add to them, --overwrite to replace them, or another DEST")
    if deidentify is None:
        if key_file is not None:
            raise UsageError("--key-file", "only serves --deidentify", "leave it out or name a profile")
        return
    if key_file is None:
        if resume:
            why = "need the key of the earlier run, or one patient would get two pseudonyms"
            raise UsageError("--resume and --deidentify", why, "give --key-file")
        return
    for place, name in ((source, "SOURCE"), (dest, "DEST")):
        if place.resolve() in key_file.resolve().parents:
            raise UsageError(str(key_file), f"the key file lies in {name}", "keep it apart from scans and results")


def _option(name: str, values: Sequence[float]) -> str:
    return " ".join([name, *(f"{value:g}" for value in values)])
