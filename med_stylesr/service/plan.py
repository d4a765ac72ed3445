"""What a run has to do: which inputs, in which order, and what earlier runs have done of them already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from med_stylesr.io.series import DicomSeries
from med_stylesr.io.source import Inputs, VolumeFile
from med_stylesr.io.volume_file import volume_ending
from med_stylesr.service.manifest import FAILED, RUNNING, SKIPPED, Earlier, Entry, Manifest
from med_stylesr.service.privacy import Privacy
from med_stylesr.service.settings import EnhanceSettings

Events = Callable[[Mapping[str, Any]], None]
"""Receives what happens, as JSON-able mappings with the key `event`; see docs/reference/json-events.md."""
VOLUME_ENDINGS: Final = {"nifti": ".nii.gz", "nrrd": ".nrrd"}
"""Endings of the volume formats that can be asked for."""


@dataclass(frozen=True)
class Job:
    """One scan to do.

    Attributes:
        item: where it is.
        entry: its place in the manifest, status "running".
        shown: its name on the screen.
        number: its place in the run, from 1.
    """

    item: DicomSeries | VolumeFile
    entry: Entry
    shown: str
    number: int


def put_skipped(inputs: Inputs, privacy: Privacy, manifest: Manifest, events: Events) -> None:
    """Enter and tell everything that is not used, with the reason."""
    for number, skipped in enumerate(inputs.skipped):
        status = FAILED if skipped.problem else SKIPPED
        if privacy.on:
            manifest.put(Entry(f"input {number + 1}", "other", status, "not used; the reason was shown on the screen"))
        else:
            manifest.put(Entry(skipped.name, "other", status, skipped.reason))
        events({"event": "skip", "source": skipped.name, "reason": skipped.reason, "problem": skipped.problem})


def plan(
    inputs: Inputs,
    settings: EnhanceSettings,
    privacy: Privacy,
    digests: Sequence[str],
    created: str,
    earlier: Earlier,
    manifest: Manifest,
    events: Events,
) -> list[Job]:
    """What is to be done, in a fixed order; what needs no work goes straight into the manifest.

    Args:
        inputs: what was found.
        settings: what to do with it.
        privacy: what may be told of it.
        digests: of weights and tables in use.
        created: moment of creation for what no earlier run has begun.
        earlier: what is not to be done again.
        manifest: gets an entry for every input.
        events: told of every input that needs no work.
    """
    done = {entry.fingerprint: entry for entry in earlier.done}
    given_up = {entry.fingerprint: entry for entry in earlier.quarantined}
    taken: set[Path] = set()
    todo: list[Job] = []
    items: Sequence[DicomSeries | VolumeFile] = [*inputs.series, *inputs.volumes]
    for item in items:
        shown, (kind, identity) = privacy.shown_name(item), identity_of(item)
        fingerprint = settings.fingerprint(privacy.seal(identity), digests)
        entry = Entry(privacy.told_name(item), kind, RUNNING, fingerprint=fingerprint)
        place = volume_place(item, settings.format, privacy) if isinstance(item, VolumeFile) else None
        if fingerprint in done:
            manifest.put(done[fingerprint])
            events({"event": "skip", "source": shown, "reason": "done by an earlier run", "problem": False})
        elif fingerprint in given_up:
            known = given_up[fingerprint]
            manifest.put(known)
            reason = f"given up by an earlier run ({known.reason}); --retry-quarantined tries it again"
            events({"event": "skip", "source": shown, "reason": reason, "problem": True})
        elif place in taken:
            reason = "another input would be written to the same place; rename it, or give both their own DEST"
            manifest.put(Entry(f"{entry.source} (one more)", kind, FAILED, reason, fingerprint))
            events({"event": "skip", "source": shown, "reason": reason, "problem": True})
        else:
            entry = replace(entry, created=earlier.begun.get(fingerprint, created))
            manifest.put(entry)
            todo.append(Job(item, entry, shown, len(todo) + 1))
        taken |= {place} if place else set()
    return todo


def volume_place(file: VolumeFile, format: str, privacy: Privacy) -> Path:
    """Where below DEST the result of a volume file goes: as below SOURCE, or under a name that tells nothing.

    Detached headers (.mhd, .nhdr) become one-file volumes of their format.
    """
    ending = volume_ending(file.relative)
    wanted = VOLUME_ENDINGS.get(format, {".mhd": ".mha", ".nhdr": ".nrrd"}.get(ending, ending))
    if privacy.on:
        return Path(privacy.file_stem(str(file.relative)) + wanted)
    return file.relative.with_name(file.relative.name[: -len(ending)] + wanted)


def identity_of(item: DicomSeries | VolumeFile) -> tuple[str, str]:
    """Kind of an input, and what tells it from all others: place and content of a volume, images of a series."""
    if isinstance(item, VolumeFile):
        digest = hashlib.sha256()
        # What cannot be read fails later, with its reason.
        with suppress(OSError), item.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return "volume", f"{item.relative}\n{digest.hexdigest()}"
    return "dicom", "\n".join([item.part, *item.sop_instance_uids])
