"""TLS on both sides: strangers stay out, certificates of destinations are checked, silence holds up nobody."""

from __future__ import annotations

import socket
import ssl
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pacs_peers import Archive, images, running, send
from test_serve_scp import SETTINGS

from med_stylesr.errors import InputError, UsageError
from med_stylesr.service.pacs import sending
from med_stylesr.service.pacs.destinations import parse_destination
from med_stylesr.service.pacs.tls import server_context

TLS = Path(__file__).parents[3] / "data" / "tls"
CERT, KEY = TLS / "server.pem", TLS / "server.key"


def client(name: str | None) -> ssl.SSLContext:
    """A caller that trusts the server and shows a certificate, or none."""
    context = ssl.create_default_context(cafile=str(CERT))
    if name:
        context.load_cert_chain(TLS / f"{name}.pem", TLS / f"{name}.key")
    return context


@pytest.mark.parametrize(
    ("ca", "shows", "admitted"),
    [(None, None, True), (CERT, "server", True), (CERT, "stranger", False), (CERT, None, False)],
)
def test_with_a_ca_only_callers_with_a_certificate_of_it_are_let_in(
    tmp_path: Path, ca: Path | None, shows: str | None, admitted: bool
) -> None:
    settings = replace(SETTINGS, tls_cert=CERT, tls_key=KEY, tls_ca=ca)
    with running(tmp_path / "state", settings, [sys.executable]) as server:
        answers = send(server.port, images(slices=1), tls_args=(client(shows), "localhost"))
        assert answers == [0 if admitted else -1]


def test_without_tls_nobody_is_let_in_and_a_silent_caller_holds_up_nobody(tmp_path: Path) -> None:
    settings = replace(SETTINGS, tls_cert=CERT, tls_key=KEY)
    with running(tmp_path / "state", settings, [sys.executable]) as server:
        assert send(server.port, images(slices=1)) == [-1]
        with socket.create_connection(("127.0.0.1", server.port)):
            assert send(server.port, images(slices=1), tls_args=(client(None), "localhost")) == [0]


def test_the_certificate_of_a_destination_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "image.dcm"
    images(slices=1)[0].save_as(file, enforce_file_format=True)
    archive = Archive().open(server_context(replace(SETTINGS, tls_cert=CERT, tls_key=KEY)))
    place = parse_destination(archive.url.replace("dicom:", "dicoms:"))
    try:
        assert list(sending.send([file], place, replace(SETTINGS, tls_ca=CERT))) == [1]
        for settings in (SETTINGS, replace(SETTINGS, tls_ca=TLS / "stranger.pem")):
            with pytest.raises(InputError, match="cannot be reached"):
                list(sending.send([file], place, settings))
    finally:
        archive.close()
    assert len(archive.received) == 1


def test_a_key_that_does_not_fit_is_told_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="TLS certificates"):
        server_context(replace(SETTINGS, tls_cert=CERT, tls_key=TLS / "stranger.key"))
