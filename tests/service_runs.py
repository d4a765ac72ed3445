"""What a run of `enhance` left behind, for the tests of the main job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import jsonschema

from med_stylesr.inference.request import EnhanceOptions, StrengthRequest
from med_stylesr.service.settings import EnhanceSettings

REFERENCE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference"
MANIFEST: Final = jsonschema.Draft202012Validator(json.loads((REFERENCE / "manifest.schema.json").read_text()))
EVENT: Final = jsonschema.Draft202012Validator(json.loads((REFERENCE / "json-events.schema.json").read_text()))

SETTINGS = EnhanceSettings(
    options=EnhanceOptions(request=StrengthRequest(strength=0.0)),
    spacing_mm=None,
    bundle="ldct_stylesr_2d",
    device="cpu",
    format="auto",
    deidentify=None,
    key_file=None,
    overwrite=False,
    report=False,
    threads=1,
)
"""Strength 0 at the scan's own scale: no network runs, so that what is tested is all there is."""


class Run:
    """What a run left: exit status, manifest and events."""

    def __init__(self, status: int, dest: Path, events: list[dict[str, Any]]) -> None:
        self.status, self.dest, self.events = status, dest, events
        self.manifest = json.loads((dest / "manifest.json").read_text())
        # Every manifest and event that any test sees is as documented.
        MANIFEST.validate(self.manifest)
        for event in events:
            EVENT.validate(event)

    def entries(self, status: str) -> list[dict[str, Any]]:
        return [entry for entry in self.manifest["series"] if entry["status"] == status]

    def event(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def outputs(self) -> list[Path]:
        """Whatever the done entries name, in order."""
        return [self.dest / place for entry in self.entries("done") for place in entry["outputs"]]


def tree_hash(root: Path) -> dict[str, str]:
    """Digest of every file below a folder by its relative path."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def settled(dest: Path) -> dict[str, Any]:
    """All of DEST that must be the same in equal runs: every byte, and of the manifest everything but timings."""
    manifest = json.loads((dest / "manifest.json").read_text())
    MANIFEST.validate(manifest)
    del manifest["started"], manifest["updated"]
    for entry in manifest["series"]:
        del entry["seconds"]
    return {**tree_hash(dest), "manifest.json": manifest}
