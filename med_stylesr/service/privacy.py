"""What of a source may be told in outputs: everything, or nothing that identifies when a profile is on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset

from med_stylesr.errors import UsageError
from med_stylesr.io.names import MAX_NAME, safe_component
from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import VolumeFile

if TYPE_CHECKING:
    # Takes a part of a second to import, which runs that keep identifiers do not need.
    from med_stylesr.deid import Deidentifier, Profile, SecretKey


class Privacy:
    """Names and dataset hook of a run, with or without de-identification.

    Args:
        profile: name or path of a de-identification profile, or None to keep identifiers.
        key: secret for pseudonyms; needed with a profile.

    Raises:
        UsageError: if there is no such profile, or it asks for more than can be done on the way.
    """

    def __init__(self, profile: str | None, key: SecretKey | None) -> None:
        self._deid = _deidentifier(profile, key) if profile and key else None

    @property
    def on(self) -> bool:
        """Whether identifiers are removed."""
        return self._deid is not None

    def harvest(self, series: Sequence[DicomSeries]) -> None:
        """Learn the identifiers of all scans of a run, before anything is written."""
        if self._deid:
            for one in series:
                for header in one.headers:
                    self._deid.harvest(header)

    @property
    def transform(self) -> Callable[[Dataset], Dataset] | None:
        """Hook for `DerivedSeriesWriter`; None changes nothing."""
        deid = self._deid
        return (lambda dataset: deid.apply(dataset, derived=True)) if deid else None

    def patient_folder(self, series: DicomSeries) -> str:
        """Folder of a patient in DEST."""
        if self._deid:
            return self._deid.patient_folder(series.headers[0])
        name = safe_component(series.patient_id, "unknown-patient")
        if name == series.patient_id or not series.patient_id:
            return name
        # Two patients must not meet in one folder because their ids look alike once made safe.
        digest = hashlib.sha256(series.patient_id.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        return f"{safe_component(name, 'unknown-patient', MAX_NAME - len(digest) - 1)}+{digest}"

    def uid(self, uid: str) -> str:
        """What stands for a UID in the output."""
        return self._deid.new_uid(uid) if self._deid else uid

    def shown_name(self, item: DicomSeries | VolumeFile) -> str:
        """How the screen names an input: always so that whoever sits there finds it."""
        return str(item.relative) if isinstance(item, VolumeFile) else item.name

    def told_name(self, item: DicomSeries | VolumeFile) -> str:
        """How the manifest names an input."""
        if not self._deid:
            return self.shown_name(item)
        if isinstance(item, VolumeFile):
            return self._deid.safe_name(str(item.relative))
        part = f", {self._deid.safe_name(item.part)}" if item.part else ""
        return f"series {self._deid.new_uid(item.uid)} ({len(item)} slices{part})"

    def seal(self, identity: str) -> str:
        """What stands for an input's content in the manifest; nobody without the key can try whether it is a known one.

        Args:
            identity: tells one input from all others.
        """
        if self._deid:
            return self._deid.key.digest("manifest", identity).hex()
        return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()

    def file_stem(self, stem: str) -> str:
        """Name of an output file made from the name of an input file."""
        return self._deid.safe_name(stem) if self._deid else stem


def privacy_for(profile: str | None, key_file: Path | None) -> Privacy:
    """Privacy under a profile or none, with the key of a file, which is made if missing; None: a key for this run only.

    Raises:
        UsageError: see `Privacy`, or if the key file cannot be used.
    """
    if profile is None:
        return Privacy(None, None)
    from med_stylesr.deid import load_or_create_key

    return Privacy(profile, load_or_create_key(key_file))


def _deidentifier(profile: str, key: SecretKey) -> Deidentifier:
    from med_stylesr.deid import Deidentifier

    return Deidentifier(_fitting(profile), key)


def _fitting(name: str) -> Profile:
    """A profile that leaves pixels alone or refuses the scan: reports and volumes show pixels as they were read."""
    from med_stylesr.deid import load_profile

    profile = load_profile(name)
    if profile.heads != "ignore" or profile.burned_in != "refuse":
        why = "changes pixels (faces or burned-in text), which has to be done before anything is computed of them"
        raise UsageError(f"--deidentify {name}", why, "run `med-stylesr deidentify` first, then enhance its output")
    return profile
