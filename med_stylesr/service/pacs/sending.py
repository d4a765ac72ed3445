"""Sends the files of a series to a destination: C-STORE or STOW-RS, told as they are confirmed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from med_stylesr.errors import InputError
from med_stylesr.service.pacs.destinations import Destination
from med_stylesr.service.pacs.dicomweb import WebService
from med_stylesr.service.pacs.serve_settings import ServeSettings
from med_stylesr.service.pacs.tls import client_context

_UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_WARNINGS: Final = range(0xB000, 0xC000)
"""Stored, with a remark (PS3.4 table B.2-1)."""


def send(files: Sequence[Path], destination: Destination, settings: ServeSettings) -> Iterator[int]:
    """Send files in order; yields how many of them the destination has confirmed so far.

    Raises:
        InputError: at the first that it does not confirm; no value of any header is in the message.
        UsageError: if the settings do not allow to talk to it.
    """
    if destination.is_web:
        return WebService(destination.name, settings.timeout_s, settings.tls_ca).store(files)
    return _c_store(files, destination, settings)


def _c_store(files: Sequence[Path], destination: Destination, settings: ServeSettings) -> Iterator[int]:
    ae = AE(ae_title=settings.aet)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = settings.timeout_s
    for sop_class, syntax in sorted({_kind(file) for file in files}):
        # Uncompressed images may be sent in either encoding; one context each lets the destination take what it can.
        for offered in _UNCOMPRESSED if syntax in _UNCOMPRESSED else (syntax,):
            ae.add_requested_context(sop_class, offered)
    tls = (client_context(settings), destination.host) if destination.scheme == "dicoms" else None
    association = ae.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        tls_args=tls,
    )
    try:
        if not association.is_established:
            raise _not_connected(association, destination)
        for done, file in enumerate(files, start=1):
            _store_one(association, file, destination)
            yield done
    finally:
        if association.is_established:
            association.release()


def _store_one(association: Association, file: Path, destination: Destination) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = association.send_c_store(file)
    except ValueError as error:
        why = "takes no images of this kind or encoding"
        raise InputError(destination.name, why, "allow CT images in explicit or implicit VR there") from error
    except (RuntimeError, AttributeError, OSError) as error:
        raise InputError(destination.name, "broke the connection", "it is tried again") from error
    status = answer.get("Status")
    if status is None:
        raise InputError(destination.name, "did not answer", "it is tried again")
    if status != 0 and status not in _WARNINGS:
        raise InputError(destination.name, f"refused an image (status 0x{status:04X})", "see the log of that system")


def _not_connected(association: Association, destination: Destination) -> InputError:
    if association.is_rejected:
        todo = "make our AE title known to it, and check its own in the URL"
        return InputError(destination.name, "refuses our association", todo)
    if association.is_aborted and association.acceptor.primitive is not None:
        return InputError(destination.name, "takes no CT images", "allow them there")
    return InputError(destination.name, "cannot be reached", "check the address, and whether it runs")


def _kind(file: Path) -> tuple[str, str]:
    meta = pydicom.filereader.read_file_meta_info(file)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
