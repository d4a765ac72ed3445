"""A real Orthanc with its DICOMweb plugin, for the tests of tests/pacs.

Orthanc listens on all addresses: `make test-pacs` runs these tests in a network of their own that has loopback alone.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pacs_peers import free_port, wait_for

PLUGINS = Path("/usr/share/orthanc/plugins")


class Orthanc:
    """A running Orthanc.

    Attributes:
        aet: its AE title.
    """

    aet = "ORTHANC"

    def __init__(self, folder: Path, stylesr_port: int, users: dict[str, str] | None = None) -> None:
        self.http_port, self.dicom_port = free_port(), free_port()
        self._folder, self._opener = folder, urllib.request.build_opener()
        if users:
            passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            passwords.add_password(None, f"http://127.0.0.1:{self.http_port}/", *next(iter(users.items())))
            self._opener.add_handler(urllib.request.HTTPBasicAuthHandler(passwords))
        self._config = {
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.aet,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(users),
            "RegisteredUsers": users or {},
            "Plugins": [str(PLUGINS / name) for name in ("libOrthancDicomWeb.so", "libOrthancGdcm.so")],
            "DicomModalities": {"stylesr": ["MEDSTYLESR", "127.0.0.1", stylesr_port]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "OverwriteInstances": False,
        }

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def dicom(self) -> str:
        return f"dicom://{self.aet}@127.0.0.1:{self.dicom_port}"

    def ask(self, path: str, body: Any = None) -> Any:
        """Orthanc's own REST interface."""
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        with self._opener.open(f"http://127.0.0.1:{self.http_port}{path}", data, timeout=60) as answer:
            return json.load(answer)

    def series(self) -> list[dict[str, Any]]:
        return [self.ask(f"/series/{one}") for one in self.ask("/series")]

    def is_up(self) -> bool:
        try:
            return bool(self.ask("/system"))
        except OSError:
            return False

    @contextmanager
    def started(self) -> Iterator[Orthanc]:
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "orthanc.json"
        config.write_text(json.dumps(self._config))
        with (self._folder / "orthanc.log").open("wb") as log:
            process = subprocess.Popen(["/usr/sbin/Orthanc", str(config)], stdout=log, stderr=log)
            try:
                wait_for(self.is_up, 60)
                yield self
            finally:
                process.terminate()
                process.wait(30)
