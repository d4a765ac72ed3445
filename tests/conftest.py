"""What every test runs under: strict DICOM writing, no network but loopback, one torch thread a worker."""

from __future__ import annotations

import os
import pathlib
import signal
import socket

import pydicom.config
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs so; tests that interrupt a run would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("OMP_NUM_THREADS", "1")
pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program never talks to the network at run time; a test that tries is wrong."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> object:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder of real CT series kept beside the checkout; tests that want it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no shared CT data beside this checkout")
    return SHARED_DATA
