"""The rows of a server's queue: images, studies, deliveries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """An image that was taken.

    Attributes:
        sop_uid: its SOPInstanceUID.
        study: key of its study.
        file: where it is, relative to the folder of received images.
        digest: of its bytes.
        bytes: its size.
        enhanceable: whether it may be part of a CT volume.
    """

    sop_uid: str
    study: str
    file: str
    digest: str
    bytes: int
    enhanceable: bool


@dataclass(frozen=True)
class Study:
    """A study and how far it is.

    Attributes:
        key: names its folders.
        uid: StudyInstanceUID.
        state: "receiving" (waits to be complete, or to be tried again), "enhanced", "nothing" (to enhance), "dead".
        changed: time of its last image, or of what became of it.
        version: number of images taken so far; tells whether more came meanwhile.
        attempts: how often enhancing it failed.
        next_try: not before this time.
        reason: why it failed; may quote headers.
    """

    key: str
    uid: str
    state: str
    changed: float
    version: int
    attempts: int
    next_try: float
    reason: str


@dataclass(frozen=True)
class Delivery:
    """One derived series on its way to one destination.

    Attributes:
        id: number.
        study: key of the study.
        folder: of the series, relative to the server's folder.
        destination: name of the destination.
        state: "pending", "sent", "dead" or "discarded".
        changed: time of the last change of state.
        sent: how many of its images the destination has confirmed.
        attempts: how often it failed.
        next_try: not before this time.
        reason: why it failed last.
    """

    id: int
    study: str
    folder: str
    destination: str
    state: str
    changed: float
    sent: int
    attempts: int
    next_try: float
    reason: str
