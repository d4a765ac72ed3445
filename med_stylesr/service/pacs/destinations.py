"""Where derived series go: a DICOM application entity, with or without TLS, or a DICOMweb service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from med_stylesr.errors import UsageError

_DICOM: Final = ("dicom", "dicoms")
_WEB: Final = ("http", "https")
_EXAMPLES: Final = "use dicom://AET@host:port, dicoms://AET@host:port or https://host/dicom-web"


@dataclass(frozen=True)
class Destination:
    """A destination.

    Attributes:
        name: as it was given.
        scheme: "dicom", "dicoms" (with TLS), "http" or "https".
        ae_title: AE title to call; empty for DICOMweb.
        host: name or address.
        port: port, 0 for that of the scheme.
    """

    name: str
    scheme: str
    ae_title: str
    host: str
    port: int

    @property
    def is_web(self) -> bool:
        """Whether it is a DICOMweb service."""
        return self.scheme in _WEB


def parse_destination(text: str) -> Destination:
    """A destination from its URL.

    Raises:
        UsageError: if it is none, or carries a password.
    """
    try:
        url = urlsplit(text)
        port = url.port or 0
    except ValueError as error:
        raise UsageError("a destination", f"is no URL ({error})", _EXAMPLES) from error
    if url.password is not None or (url.scheme in _WEB and url.username is not None):
        # Not repeated here: whatever shows this line would show the password.
        why = "carries a user or password, which every process of this machine could see"
        raise UsageError(f"the URL of {url.hostname}", why, "put them into the environment or ~/.netrc")
    if url.scheme in _WEB and url.hostname:
        return Destination(text.rstrip("/"), url.scheme, "", url.hostname, port)
    if url.scheme in _DICOM and url.hostname and port and url.username and not url.path.strip("/"):
        if len(url.username) > 16:
            raise UsageError(text, "its AE title has more than 16 characters")
        return Destination(text, url.scheme, url.username, url.hostname, port)
    raise UsageError(text, "is no destination", _EXAMPLES)
