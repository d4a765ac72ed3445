"""Talking to DICOMweb services (PS3.18): credentials, checks of answers, errors that say what to do."""

from __future__ import annotations

import io
import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from med_stylesr.errors import InputError, UsageError
from med_stylesr.service.pacs.destinations import Destination, parse_destination

USER: Final = "MED_STYLESR_DICOMWEB_USER"
PASSWORD: Final = "MED_STYLESR_DICOMWEB_PASSWORD"
TOKEN: Final = "MED_STYLESR_DICOMWEB_TOKEN"
_CREDENTIALS: Final = f"set {USER} and {PASSWORD}, or {TOKEN}, or write them into ~/.netrc"
_BATCH_BYTES: Final = 32 << 20
_STATUS_WORDS: Final = {
    401: ("asks for credentials", _CREDENTIALS),
    403: ("does not allow this to these credentials", _CREDENTIALS),
    404: ("knows no such thing", "check the UIDs and the path of the URL"),
    413: ("takes no message of this size", "raise the limit of the server"),
    507: ("has no space left", "make room there, then run this again"),
}


class WebService:
    """A DICOMweb service.

    Args:
        url: base URL, for example https://pacs/dicom-web.
        timeout_s: longest wait for an answer.
        ca: file of certificates (PEM) to check the server against, or None for those of the system.

    Raises:
        UsageError: if the URL cannot be used, or credentials would travel readable for everybody.
    """

    def __init__(self, url: str, timeout_s: float, ca: Path | None = None) -> None:
        self._place = parse_destination(url)
        if not self._place.is_web:
            raise UsageError(url, "is no DICOMweb URL", "use http(s)://host/path")
        session = requests.Session()
        if ca is not None:
            session.verify = str(ca)
        session.auth = _credentials(self._place)
        self._client = DICOMwebClient(self._place.name, session=session, timeout=timeout_s)
        # Whoever calls decides what is tried again, and when.
        self._client.set_http_retry_params(retry=False)

    @property
    def name(self) -> str:
        """The URL."""
        return self._place.name

    def instances(self, study: str, series: str | None = None) -> list[tuple[str, str]]:
        """SeriesInstanceUID and SOPInstanceUID of all images of a study or series (QIDO-RS), none if it is unknown.

        Raises:
            InputError: if the service does not answer as it should.
        """
        with self._told():
            every = [series] if series else [_value(found, "0020000E") for found in self._pages(study, None)]
            return [(uid, _value(found, "00080018")) for uid in every for found in self._pages(study, uid)]

    def _pages(self, study: str, series: str | None) -> Iterator[dict[str, Any]]:
        """All matches, however few the service tells at once and whether or not it heeds the offset."""
        seen: set[str] = set()
        while True:
            if series is None:
                found = self._client.search_for_series(study, offset=len(seen), limit=1000)
            else:
                found = self._client.search_for_instances(study, series, offset=len(seen), limit=1000)
            tag = "0020000E" if series is None else "00080018"
            fresh = [one for one in found if _value(one, tag) not in seen]
            if not fresh:
                return
            seen.update(_value(one, tag) for one in fresh)
            yield from fresh

    def retrieve(self, study: str, series: str, image: str) -> bytes:
        """One image as a DICOM file, encoded as the service keeps it (WADO-RS).

        Raises:
            InputError: if the service does not answer with that image.
        """
        with self._told():
            dataset = self._client.retrieve_instance(study, series, image, media_types=(("application/dicom", "*"),))
            if dataset.get("SOPInstanceUID") != image:
                raise ValueError("it sent another image than was asked for")
            file = io.BytesIO()
            dataset.save_as(file, enforce_file_format=True)
            return file.getvalue()

    def store(self, files: Sequence[Path]) -> Iterator[int]:
        """Send files (STOW-RS); yields how many of them the service has confirmed so far.

        Raises:
            InputError: if it refuses one, or does not answer as it should.
        """
        done = 0
        for batch in _batches(files):
            with self._told():
                self._require_stored(self._client.store_instances([pydicom.dcmread(file) for file in batch]))
            done += len(batch)
            yield done

    def _require_stored(self, answer: Dataset) -> None:
        failed = answer.get("FailedSOPSequence") or []
        if failed:
            reasons = sorted({f"0x{int(item.get('FailureReason') or 0):04X}" for item in failed})
            why = f"refused {len(failed)} images (reason {', '.join(reasons)})"
            raise InputError(self.name, why, "see PS3.18 table I.2-1 and the log of the service")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Make one line of whatever goes wrong; nothing of an answer's text is repeated, it may name patients."""
        try:
            yield
        except requests.HTTPError as error:
            response: requests.Response = error.response  # type: ignore[assignment]
            status = response.status_code
            with suppress(ValueError, AttributeError, TypeError):
                self._require_stored(Dataset.from_json(response.json()))
            why, todo = _STATUS_WORDS.get(status, (f"answered {status}", "see the log of the service"))
            raise InputError(self.name, f"{why} (status {status})", todo) from error
        except requests.exceptions.SSLError as error:
            raise InputError(self.name, "its certificate is not trusted", "give its CA with --ca-file") from error
        except requests.Timeout as error:
            raise InputError(self.name, "did not answer in time", "try again later") from error
        except requests.ConnectionError as error:
            raise InputError(self.name, "cannot be reached", "check the URL, and whether the service runs") from error
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"its answer cannot be understood ({type(error).__name__})"
            raise InputError(self.name, why, "check that the URL is that of a DICOMweb service") from error


def _credentials(place: Destination) -> requests.auth.AuthBase | tuple[str, str] | None:
    """From the environment; None leaves it to ~/.netrc, which requests reads.

    Raises:
        UsageError: if anybody on the way could read them.
    """
    user, password, token = (os.environ.get(name) for name in (USER, PASSWORD, TOKEN))
    found = token or (user and password) or requests.utils.get_netrc_auth(place.name)
    if found and place.scheme == "http" and not _is_here(place.host):
        raise UsageError(place.name, "credentials would travel unencrypted", "use https://")
    if token:
        return _Bearer(token)
    return (user, password) if user and password else None


class _Bearer(requests.auth.AuthBase):
    """Shows a token, and overrides ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Files in order, in messages of bounded size; a file larger than that goes alone."""
    batch: list[Path] = []
    size = 0
    for file in files:
        more = file.stat().st_size
        if batch and size + more > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += more
    if batch:
        yield batch


def _value(found: dict[str, Any], tag: str) -> str:
    """First value of an attribute in DICOM JSON (PS3.18 annex F)."""
    return str(found[tag]["Value"][0])
