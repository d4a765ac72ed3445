"""What a run of `enhance` was asked for: picklable, so that it reaches worker processes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from med_stylesr import __version__
from med_stylesr.inference.request import EnhanceOptions


@dataclass(frozen=True)
class EnhanceSettings:
    """Settings of a run.

    Attributes:
        options: what to do with each scan.
        spacing_mm: target spacing (slice, row, column) instead of a scale, or None.
        bundle: name or folder of the bundle.
        device: "auto", "cpu", "cuda" or "cuda:N".
        format: "auto" (as the input), "dicom", "nifti" or "nrrd".
        deidentify: de-identification profile, or None.
        key_file: key for it, or None.
        overwrite: whether existing output is replaced.
        report: whether an HTML report is written for every scan.
        threads: CPU threads a worker may use; 0 leaves it to the libraries.
    """

    options: EnhanceOptions
    spacing_mm: tuple[float, float, float] | None
    bundle: str
    device: str
    format: str
    deidentify: str | None
    key_file: Path | None
    overwrite: bool
    report: bool
    threads: int

    def record(self) -> dict[str, Any]:
        """JSON-able record for the manifest; the key file's path is not part of it."""
        known = asdict(self)
        known.pop("key_file")
        return known

    def fingerprint(self, identity: str, weights: str) -> str:
        """Digest of an input and all settings that its output depends on.

        Args:
            identity: identifies the input's content.
            weights: digest of the weights in use.
        """
        matters = {
            "input": identity,
            "weights": weights,
            "tool": __version__,
            "options": asdict(self.options),
            "spacing_mm": self.spacing_mm,
            "format": self.format,
            "deidentify": self.deidentify,
        }
        return hashlib.sha256(json.dumps(matters, sort_keys=True, default=str).encode()).hexdigest()
