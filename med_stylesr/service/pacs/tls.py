"""TLS for the DICOM port and for DICOM destinations (PS3.15 B.12: TLS 1.2 or newer, certificates on both sides)."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from med_stylesr.errors import UsageError
from med_stylesr.service.pacs.serve_settings import ServeSettings


class _LateHandshake(ssl.SSLContext):
    """Shakes hands in the thread of the association, so that a caller who says nothing holds up nobody else."""

    silence_s: float

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(self.silence_s)
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def server_context(settings: ServeSettings) -> ssl.SSLContext | None:
    """How the port speaks TLS, or None if it does not; with `tls_ca`, callers must have a certificate signed by it.

    Raises:
        UsageError: if a certificate or key cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = _LateHandshake(ssl.PROTOCOL_TLS_SERVER)
    context.silence_s = settings.timeout_s
    _load(context, settings.tls_cert, settings.tls_key, settings.tls_ca)
    if settings.tls_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: ServeSettings) -> ssl.SSLContext:
    """How destinations are called with TLS: their certificate is checked, and ours is shown if there is one.

    Raises:
        UsageError: if a certificate or key cannot be used.
    """
    context = ssl.create_default_context()
    _load(context, settings.tls_cert, settings.tls_key, settings.tls_ca)
    return context


def _load(context: ssl.SSLContext, cert: Path | None, key: Path | None, ca: Path | None) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        if cert is not None:
            # An empty password instead of a question on the terminal.
            context.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        why = f"cannot be used ({getattr(error, 'reason', None) or error.strerror or error})"
        raise UsageError(
            "TLS certificates", why, "check --tls-cert, --tls-key and --tls-ca (PEM, key without a password)"
        ) from error
