"""Takes one received image so that it survives whatever happens next: on the disk and in the queue, or refused."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from med_stylesr.errors import InputError
from med_stylesr.io.attributes import word, words
from med_stylesr.io.durable import sync_folder
from med_stylesr.io.header import HeaderFile, read_header
from med_stylesr.service.pacs.queue import Queue
from med_stylesr.service.pacs.queue_records import Instance
from med_stylesr.service.pacs.same_image import are_same_image

CT_CLASSES: Final = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
"""What can be enhanced."""
OWN_MANUFACTURER: Final = "med-stylesr"
"""How derived series name the equipment that made them (ContributingEquipmentSequence)."""
FOLDER: Final = "incoming"
_ARRIVING: Final = "arriving"
_KEY_LENGTH: Final = 32


class Verdict(Enum):
    """What became of an image."""

    stored = "stored"
    duplicate = "duplicate"
    own = "own"
    conflict = "conflict"
    mismatch = "mismatch"
    unreadable = "unreadable"
    no_room = "no room"


class Incoming:
    """The folder of received images, `STATE/incoming/<study>/<image>.dcm`, and their rows in the queue.

    An image is written under another name and synced, then renamed, then recorded; only then `take` returns that it is
    stored. What a crash leaves between these steps was never acknowledged, and goes at the next start.

    Args:
        state: folder of the server.
        queue: its queue.
        min_free_bytes: free disk space below which nothing is taken.
    """

    def __init__(self, state: Path, queue: Queue, min_free_bytes: int) -> None:
        self._queue, self._min_free = queue, min_free_bytes
        self.folder = state / FOLDER
        self._arriving = state / _ARRIVING
        shutil.rmtree(self._arriving, ignore_errors=True)
        for folder in (self.folder, self._arriving):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_folder(state)

    def take(
        self, parts: Sequence[bytes], sop_class: str, sop_uid: str, belongs: Callable[[str], None] = lambda uid: None
    ) -> tuple[Verdict, str]:
        """Take an image.

        Args:
            parts: the bytes of the file, in pieces.
            sop_class: SOP class that the sender announced.
            sop_uid: SOPInstanceUID that the sender announced.
            belongs: told the StudyInstanceUID before anybody can learn that the study has one more image.

        Returns:
            What became of it, and its StudyInstanceUID if that could be read.
        """
        arriving = self._arriving / f"{secrets.token_hex(16)}.dcm"
        study_uid = ""
        try:
            if shutil.disk_usage(self._arriving).free < self._min_free:
                return Verdict.no_room, study_uid
            digest = hashlib.sha256()
            with arriving.open("xb") as file:
                for part in parts:
                    file.write(part)
                    digest.update(part)
                file.flush()
                os.fsync(file.fileno())
            try:
                header = read_header(arriving)
            except InputError:
                return Verdict.unreadable, study_uid
            study_uid = word(header.header, "StudyInstanceUID")
            belongs(study_uid)
            named = (word(header.header, "SOPClassUID"), word(header.header, "SOPInstanceUID"))
            if not study_uid or named != (sop_class, sop_uid):
                return Verdict.mismatch, study_uid
            if _is_own(header):
                return Verdict.own, study_uid
            study = key_of(study_uid)
            instance = Instance(
                sop_uid=sop_uid,
                study=study,
                file=f"{study}/{key_of(sop_uid)}.dcm",
                digest=digest.hexdigest(),
                bytes=sum(map(len, parts)),
                enhanceable=sop_class in CT_CLASSES and "LOCALIZER" not in words(header.header, "ImageType"),
            )
            return self._keep(arriving, instance, study_uid), study_uid
        except (OSError, sqlite3.OperationalError, MemoryError):
            # Full or failing disk, no more memory: the sender keeps its copy and tries again.
            return Verdict.no_room, study_uid
        finally:
            with suppress(OSError):
                arriving.unlink(missing_ok=True)

    def _keep(self, arriving: Path, instance: Instance, study_uid: str) -> Verdict:
        final = self.folder / instance.file
        # Two senders of one image, or a study that is just being removed, must not come between file and row.
        with self._queue.lock:
            known = self._queue.instance(instance.sop_uid)
            if known is not None:
                same = known.digest == instance.digest or are_same_image(self.folder / known.file, arriving)
                return Verdict.duplicate if same else Verdict.conflict
            if not final.parent.exists():
                final.parent.mkdir(mode=0o700)
                sync_folder(self.folder)
            os.replace(arriving, final)
            sync_folder(final.parent)
            try:
                self._queue.add(instance, study_uid, time.time())
            except BaseException:
                with suppress(OSError):
                    final.unlink()
                raise
        return Verdict.stored

    def recover(self) -> list[str]:
        """Remove files that were never acknowledged; returns the recorded ones that are missing."""
        with self._queue.lock:
            recorded = self._queue.files()
            there = {str(path.relative_to(self.folder).as_posix()) for path in self.folder.glob("*/*.dcm")}
            for name in there - recorded:
                (self.folder / name).unlink()
            for folder in self.folder.iterdir():
                with suppress(OSError):
                    folder.rmdir()
        return sorted(recorded - there)

    def forget(self, study: str) -> None:
        """Remove the images of a study that is no longer in the queue; hold the queue's lock."""
        shutil.rmtree(self.folder / study, ignore_errors=True)


def key_of(uid: str) -> str:
    """Name of a folder or file for a UID: fixed length, harmless, and the same in every run."""
    return hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_LENGTH]


def _is_own(header: HeaderFile) -> bool:
    """Whether an image is a derived one of this program, sent back by an archive that forwards all it gets."""
    equipment = header.header.get("ContributingEquipmentSequence") or []
    return any(word(item, "Manufacturer") == OWN_MANUFACTURER for item in equipment)
