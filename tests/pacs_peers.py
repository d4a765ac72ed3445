"""The other side of a server in tests: a sender, and a destination that can be switched off, both over loopback."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from phantoms import GRADIENT, slice_dataset, stack
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from med_stylesr.service.pacs.journal import Journal
from med_stylesr.service.pacs.serve import Server
from med_stylesr.service.pacs.serve_settings import ServeSettings

SECRET_NAME = "Zaphod^Beeblebrox"
"""Patient of every image sent here; may never be seen outside of images."""


def images(name: str = "study", slices: int = 3, shape: tuple[int, int] = (16, 16), **header: Any) -> list[Dataset]:
    """A CT series; UIDs follow from the name."""
    spec = stack(slices, shape=shape)
    return [slice_dataset(spec, GRADIENT, k, name, PatientName=SECRET_NAME, **header) for k in range(slices)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(port: int, datasets: Sequence[Dataset], aet: str = "CT1", called: str = "MEDSTYLESR", **how: Any) -> list[int]:
    """C-STORE everything in one association; the answers, -1 where none came."""
    ae = AE(ae_title=aet)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    ae.add_requested_context(how.pop("sop_class", CTImageStorage), how.pop("syntax", ExplicitVRLittleEndian))
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", port, ae_title=called, **how)
    answers = []
    for dataset in datasets:
        try:
            answers.append(int(association.send_c_store(dataset).get("Status", -1)))
        except (RuntimeError, ValueError):
            answers.append(-1)
    if association.is_established:
        association.release()
    return answers


class Archive:
    """A destination: keeps what it is sent, may be closed and opened again at the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[Dataset] = []
        self.answer = 0x0000
        self._ae: AE | None = None

    @property
    def url(self) -> str:
        return f"dicom://ARCHIVE@127.0.0.1:{self.port}"

    @property
    def uids(self) -> set[str]:
        return {str(dataset.SOPInstanceUID) for dataset in self.received}

    def open(self, ssl_context: Any = None) -> Archive:
        self._ae = AE(ae_title="ARCHIVE")
        self._ae.add_supported_context(CTImageStorage)
        handlers = [(evt.EVT_C_STORE, self._take)]
        self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=ssl_context)
        return self

    def close(self) -> None:
        if self._ae is not None:
            self._ae.shutdown()
            self._ae = None

    def _take(self, event: evt.Event) -> int:
        if self.answer == 0x0000:
            self.received.append(pydicom.dcmread(io.BytesIO(event.encoded_dataset())))
        return self.answer


class Running:
    """A server in threads of this process, and its log."""

    def __init__(self, state: Path, log: io.StringIO, server: Server) -> None:
        self.state, self.log, self.server = state, log, server

    @property
    def port(self) -> int:
        return self.server.dicom_port

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.log.getvalue().splitlines()) if line["event"] == name]


@contextlib.contextmanager
def running(state: Path, settings: ServeSettings, program: Sequence[str]) -> Iterator[Running]:
    log = io.StringIO()
    with Server(state, settings, Journal(b"k" * 32, log), program) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Running(state, log, server)
        finally:
            server.stop()
            thread.join()


def wait_for(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait until something is true, and return it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("did not happen in time")
