"""What a run of `enhance` was asked for: picklable, so that it reaches worker processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from med_stylesr import __version__
from med_stylesr.errors import InputError
from med_stylesr.inference.request import EnhanceOptions


@dataclass(frozen=True)
class Limits:
    """What a worker process may take for one scan.

    Attributes:
        memory_mb: of its own memory; None for its share of what is free when the run starts, 0 for no limit.
        minutes: None for a time by the size of the scan, 0 for no limit.
    """

    memory_mb: int | None = None
    minutes: float | None = None


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
        limits: bounds of the worker processes that scans are done in; None does one after the other in this process,
            or several at a time in unbounded workers.
        runtime: what runs the networks; see `inference.choice.choose_runtime`.
        precision: of their convolutions; see there.
        transfer_syntax: how DICOM results are encoded, one of `io.dicom_write.TRANSFER_SYNTAXES`.
        style_reference: scan that the style is taken from, or None.
        dicomdir: whether a medium of all derived series is written beside them, see `io.medium`.
        multiframe: whether a derived series is one Enhanced CT image instead of a CT image for every slice.
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
    limits: Limits | None = None
    runtime: str = "auto"
    precision: str = "auto"
    transfer_syntax: str = "uncompressed"
    dicomdir: bool = False
    style_reference: Path | None = None
    multiframe: bool = False

    def record(self) -> dict[str, Any]:
        """JSON-able record for the manifest; no path is part of it."""
        told = {name: value for name, value in asdict(self).items() if name not in ("key_file", "style_reference")}
        return {**told, "bundle": Path(self.bundle).name, "deidentify": self.profile}

    @cached_property
    def profile(self) -> str | None:
        """De-identification profile by name, one of the user's also by content: its file may say other things later.

        Raises:
            UsageError: if there is no such profile.
        """
        if self.deidentify is None:
            return None
        # Takes a part of a second to import, which runs that keep identifiers do not need.
        from med_stylesr.deid.profile import profile_file, profile_folder

        file = profile_file(self.deidentify)
        if file.parent == profile_folder():
            return file.stem
        return f"{file.stem} sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"

    @property
    def through_plane(self) -> bool:
        """Whether slices may be added."""
        return self.spacing_mm is not None or self.options.scale[0] > 1

    def options_for(self, spacing_mm: tuple[float, float, float]) -> EnhanceOptions:
        """The options, with the whole factors that come nearest to a target spacing if one was asked for.

        Args:
            spacing_mm: of the scan, (slice, row, column).

        Raises:
            InputError: if the scan is finer than that.
        """
        if self.spacing_mm is None:
            return self.options
        factors = [max(1, round(have / want)) for have, want in zip(spacing_mm, self.spacing_mm, strict=True)]
        if any(want > 1.5 * have for have, want in zip(spacing_mm, self.spacing_mm, strict=True)):
            asked, told = (" x ".join(f"{mm:.3g}" for mm in spacing) for spacing in (self.spacing_mm, spacing_mm))
            raise InputError(f"--spacing of {asked} mm", f"is coarser than the scan ({told} mm)", "use a finer one")
        return replace(self.options, scale=(factors[0], factors[1], factors[2]))

    def fingerprint(self, identity: str, digests: Sequence[str]) -> str:
        """Digest of an input and all settings that its output depends on.

        Args:
            identity: identifies the input's content.
            digests: of the weights and tables in use.
        """
        matters = {
            "input": identity,
            "digests": list(digests),
            "tool": __version__,
            "options": asdict(self.options),
            "spacing_mm": self.spacing_mm,
            "format": self.format,
            "deidentify": self.profile,
            "transfer_syntax": self.transfer_syntax,
            "multiframe": self.multiframe,
            "runtime": [self.runtime, self.precision],
        }
        return hashlib.sha256(json.dumps(matters, sort_keys=True, default=str).encode()).hexdigest()
