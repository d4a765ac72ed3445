"""A small DICOMweb service over loopback for tests: QIDO-RS, WADO-RS and STOW-RS, and every way in which these fail."""

from __future__ import annotations

import email.parser
import email.policy
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.dataset import Dataset


class DicomWeb:
    """The service.

    Attributes:
        images: what it has, by SOPInstanceUID.
        faults: status to answer with instead, one each, for the next requests of a kind ("GET" or "POST").
        refused: SOPInstanceUIDs that it does not store.
        page: most results that it tells at once.
        requests: method, path and headers of each request.
        swap: SOPInstanceUID to send instead of the one asked for.
    """

    def __init__(self) -> None:
        self.images: dict[str, Dataset] = {}
        self.faults: dict[str, list[int]] = {"GET": [], "POST": []}
        self.refused: set[str] = set()
        self.page = 1000
        self.heeds_offset = True
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.swap = ""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.get(self)

            def do_POST(self) -> None:
                service.post(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, *datasets: Dataset) -> None:
        self.images.update({str(dataset.SOPInstanceUID): dataset for dataset in datasets})

    def count(self, method: str) -> int:
        return sum(one[0] == method for one in self.requests)

    def _begins(self, handler: BaseHTTPRequestHandler) -> bool:
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        if self.faults[handler.command]:
            status = self.faults[handler.command].pop(0)
            if status:
                answer(handler, status, "text/plain", b"Patient Zaphod^Beeblebrox is not welcome")
                return False
        return True

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if not self._begins(handler):
            return
        url = urlsplit(handler.path)
        place = re.fullmatch(r"/dicom-web/studies/([^/]+)/series(?:/([^/]+)/instances(?:/([^/]+))?)?", url.path)
        if place is None:
            answer(handler, 404, "text/plain", b"")
            return
        study, series, image = place.groups()
        if image is not None:
            part = encoded(self.images[self.swap or image])
            head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
            answer(handler, 200, 'multipart/related; type="application/dicom"; boundary=x', head + part + b"\r\n--x--")
            return
        found = [d for d in self.images.values() if d.StudyInstanceUID == study]
        if series is None:
            rows = [{"0020000E": {"vr": "UI", "Value": [u]}} for u in sorted({d.SeriesInstanceUID for d in found})]
        else:
            uids = sorted(u for u, d in self.images.items() if d in found and d.SeriesInstanceUID == series)
            rows = [{"00080018": {"vr": "UI", "Value": [u]}} for u in uids]
        first = int(parse_qs(url.query).get("offset", ["0"])[0]) if self.heeds_offset else 0
        answer(handler, 200, "application/dicom+json", json.dumps(rows[first : first + self.page]).encode())

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        body = received(handler)
        if not self._begins(handler):
            return
        head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        failed = []
        for part in message.iter_parts():
            dataset = pydicom.dcmread(io.BytesIO(part.get_payload(decode=True)))
            if dataset.SOPInstanceUID in self.refused:
                reason = {"00081197": {"vr": "US", "Value": [0xA700]}}
                failed.append({"00081155": {"vr": "UI", "Value": [str(dataset.SOPInstanceUID)]}, **reason})
            else:
                self.add(dataset)
        told: dict[str, Any] = {"00081198": {"vr": "SQ", "Value": failed}} if failed else {}
        answer(handler, 202 if failed else 200, "application/dicom+json", json.dumps(told).encode())


def received(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, chunked or not."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def answer(handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def encoded(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
