"""What was done to a series, as its derived series tells it: text, codes, equipment, and UIDs that follow from it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import UID


class Code(NamedTuple):
    """A coded concept (PS3.3 8.8): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str

    def dataset(self) -> Dataset:
        """The code as a sequence item."""
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self
        return item


SPATIAL_RESAMPLING: Final = Code("113085", "DCM", "Spatial resampling")
SMOOTHING: Final = Code("113087", "DCM", "Smoothing")
"""The code of CID 7203 that comes nearest to noise reduction."""
STANDARD_DEVIATION: Final = Code("113061", "DCM", "Standard Deviation")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE: Final = Code("121322", "DCM", "Source image for image processing operation")


@dataclass(frozen=True)
class Derivation:
    """One job's derivation.

    Attributes:
        summary: what was done, in words ("Low-dose CT in normal-dose style").
        tool: name of the program.
        tool_version: its version.
        codes: entries for DerivationCodeSequence (CID 7203).
        parameters: everything that determines the result (model, version, weights' SHA-256, style, strength, scale …),
            in the order in which DerivationDescription tells it; JSON-able values.
        created: when the job ran: dates and times of the new instances. Not part of the UIDs, so that a resumed job
            gives the same ones.
        series_suffix: what is added to SeriesDescription.
        series_number_offset: what is added to SeriesNumber.
        source_radius: slices on either side of a slice that its pixels depend on; they are named as sources.
    """

    summary: str
    tool: str
    tool_version: str
    codes: tuple[Code, ...]
    created: datetime
    series_suffix: str
    series_number_offset: int
    source_radius: int
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """Text for DerivationDescription (ST, at most 1024 characters)."""
        told = ", ".join(f"{name} {_told(value)}" for name, value in self.parameters.items())
        return f"{self.summary} by {self.tool} {self.tool_version}{': ' if told else ''}{told}"[:1024]

    @property
    def identity(self) -> str:
        """Everything that determines the result, as one string for the UIDs."""
        return json.dumps(
            [self.summary, self.tool, self.tool_version, dict(self.parameters)], sort_keys=True, default=str
        )


def derived_uid(*parts: object) -> UID:
    """A UID that follows from its parts: 2.25 and a name-based UUID (PS3.5 B.2), so that the same job gives the same.

    >>> derived_uid("a", 1) == derived_uid("a", 1), derived_uid("a", 1) == derived_uid("a", 2)
    (True, False)
    """
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode("utf-8", "surrogatepass")).digest()
    return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}")


def _told(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "x".join(_told(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
