"""The DICOM port of a server: C-ECHO, and C-STORE that answers Success once an image cannot be lost any more."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from functools import partial
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from med_stylesr.errors import UsageError
from med_stylesr.service.pacs.incoming import CT_CLASSES, Incoming, Verdict, key_of
from med_stylesr.service.pacs.journal import Journal
from med_stylesr.service.pacs.peers import is_allowed
from med_stylesr.service.pacs.serve_settings import ServeSettings
from med_stylesr.service.pacs.tls import server_context

SUCCESS: Final = 0x0000
DUPLICATE_INSTANCE: Final = 0x0111
OUT_OF_RESOURCES: Final = 0xA700
MISMATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
_ANSWERS: Final = {
    Verdict.stored: (SUCCESS, ""),
    Verdict.duplicate: (SUCCESS, ""),
    Verdict.own: (SUCCESS, ""),
    Verdict.conflict: (DUPLICATE_INSTANCE, "another image with this UID is here already"),
    Verdict.mismatch: (MISMATCH, "UIDs of command and data set differ, or none of study"),
    Verdict.unreadable: (CANNOT_UNDERSTAND, "no readable DICOM data set"),
    Verdict.no_room: (OUT_OF_RESOURCES, "no disk space left, send again later"),
}
"""Status (PS3.4 table B.2-1, PS3.7 annex C) and ErrorComment of each verdict."""
_PDU_BYTES: Final = 1 << 18
_WAITING_MESSAGES: Final = 2
_SYNTAXES: Final[tuple[UID, ...]] = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian),
    *(JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL, RLELossless),
    *(JPEG2000, JPEGLSNearLossless, JPEGBaseline8Bit, JPEGExtended12Bit),
)
"""What is understood; not deflate, in which a small message can hold gigabytes."""


class StoreScp:
    """Listens for images.

    Args:
        settings: of the server.
        incoming: where images go.
        journal: the log.

    Attributes:
        verdicts: how many images met each verdict so far.
        bytes_stored: size of the stored ones.
        rejected: associations that were refused.
    """

    def __init__(self, settings: ServeSettings, incoming: Incoming, journal: Journal) -> None:
        self._settings, self._incoming, self._journal = settings, incoming, journal
        self._peers = settings.peers
        self._lock = threading.Lock()
        self._open: dict[Association, set[str]] = {}
        self.verdicts: Counter[str] = Counter()
        self.bytes_stored = self.rejected = 0
        self._ae = self._application_entity()
        self._server: ThreadedAssociationServer | None = None

    def _application_entity(self) -> AE:
        settings = self._settings
        ae = AE(ae_title=settings.aet)
        ae.require_called_aet = True
        ae.maximum_associations = settings.max_associations
        ae.maximum_pdu_size = _PDU_BYTES
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = settings.timeout_s
        ae.add_supported_context(Verification)
        everything = [cx.abstract_syntax for cx in AllStoragePresentationContexts if cx.abstract_syntax]
        for sop_class in {*CT_CLASSES, *(everything if settings.accept == "all" else ())}:
            ae.add_supported_context(sop_class, list(_SYNTAXES))
        return ae

    def start(self) -> int:
        """Begin to listen; returns the port.

        Raises:
            UsageError: if the address cannot be listened on, or the certificates cannot be used.
        """
        settings = self._settings
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_REJECTED, self._on_reject),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        try:
            self._server = self._ae.start_server(
                (settings.host, settings.port), False, server_context(settings), evt_handlers=handlers
            )
        except OSError as error:
            why = f"cannot be listened on ({error.strerror or error})"
            raise UsageError(f"{settings.host}:{settings.port}", why, "choose another --port or --host") from error
        if self._server is None:
            raise RuntimeError("no server was started")
        # In place of a traceback on standard error.
        vars(self._server)["handle_error"] = lambda request, address: self._journal.tell(
            "connection failed", "warning", address=address[0]
        )
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the port and all associations; what was answered with Success is kept."""
        self._ae.shutdown()

    def is_sending(self, study: str) -> bool:
        """Whether an association is open that has sent images of a study (by its key)."""
        with self._lock:
            for association in [a for a in self._open if not a.is_alive()]:
                del self._open[association]
            return any(study in studies for studies in self._open.values())

    def _on_open(self, event: evt.Event) -> None:
        """Bound the silence in the middle of a message, which pynetdicom would wait out for ever."""
        connection = event.assoc.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.settimeout(self._settings.timeout_s)

    def _on_request(self, event: evt.Event) -> None:
        association = event.assoc
        request = association.requestor.primitive
        title = str(request.calling_ae_title).strip() if request else ""
        if not is_allowed(self._peers, title, association.requestor.address or ""):
            # 1, 1, 3: rejected for good, by the user of the service, calling AE title not recognised (PS3.8 9.3.4).
            association.acse.send_reject(0x01, 0x01, 0x03)
            self._on_reject(event)
            association.kill()

    def _on_reject(self, event: evt.Event) -> None:
        with self._lock:
            self.rejected += 1
        self._journal.tell("association refused", "warning", address=event.assoc.requestor.address)

    def _on_pdu(self, event: evt.Event) -> None:
        """Bound what a sender can make this process hold: size of one message, and number of messages that wait."""
        if not isinstance(event.pdu, P_DATA_TF):
            return
        dimse = event.assoc.dimse
        while dimse.msg_queue.qsize() > _WAITING_MESSAGES and event.assoc.is_alive():
            time.sleep(0.01)
        message = dimse.message
        if message is None or message.data_set is None:
            return
        if message.data_set.tell() > self._settings.max_instance_bytes:
            message.data_set = _Oversized()

    def _on_store(self, event: evt.Event) -> Dataset:
        request = event.request
        if not isinstance(request, C_STORE) or request.DataSet is None:
            raise TypeError("C-STORE without a data set")
        sop_uid, sop_class = str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID)
        data = request.DataSet
        if isinstance(data, _Oversized):
            verdict, study_uid = Verdict.no_room, ""
            answer = (OUT_OF_RESOURCES, "larger than this server takes")
        else:
            start = b"\0" * 128 + b"DICM" + encode_file_meta(event.file_meta)
            parts = [start, data.getvalue()]
            verdict, study_uid = self._incoming.take(parts, sop_class, sop_uid, partial(self._sends, event.assoc))
            answer = _ANSWERS[verdict]
        self._count(verdict, len(data.getbuffer()))
        facts = {"image": self._journal.mark(sop_uid), "study": self._journal.mark(study_uid) if study_uid else None}
        level = "info" if answer[0] == SUCCESS else "error"
        self._journal.tell("image " + verdict.value, level, peer=event.assoc.requestor.address, **facts)
        response = Dataset()
        response.Status = answer[0]
        if answer[1]:
            response.ErrorComment = answer[1]
        return response

    def _sends(self, association: Association, study_uid: str) -> None:
        if study_uid:
            with self._lock:
                self._open.setdefault(association, set()).add(key_of(study_uid))

    def _count(self, verdict: Verdict, size: int) -> None:
        with self._lock:
            self.verdicts[verdict.value] += 1
            if verdict is Verdict.stored:
                self.bytes_stored += size

    def _on_close(self, event: evt.Event) -> None:
        with self._lock:
            self._open.pop(event.assoc, None)


class _Oversized(io.BytesIO):
    """Swallows the rest of a message that is too large; its sender gets an answer instead of a broken connection."""

    def write(self, data: Any) -> int:
        return len(data)


__all__ = ["CANNOT_UNDERSTAND", "DUPLICATE_INSTANCE", "MISMATCH", "OUT_OF_RESOURCES", "SUCCESS", "StoreScp"]
