"""What `med-stylesr serve` was asked for: options of the command line over those of a file, checked before any work."""

from __future__ import annotations

import ipaddress
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml

from med_stylesr.errors import UsageError
from med_stylesr.service.pacs.destinations import Destination, parse_destination
from med_stylesr.service.pacs.peers import Peer, parse_peer

ANYBODY: Final = "any"
"""The word that opens a port beyond this machine to every peer."""
_AE_TITLE_LENGTH: Final = 16


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server; the names are those of the options and of the keys in a file.

    Attributes:
        to: destinations of derived series: dicom://AET@host:port, dicoms:// with TLS, http(s):// for DICOMweb.
        aet: own AE title, which callers must name.
        host: address to listen on.
        port: port to listen on for DICOM; 0 takes a free one.
        peer: who may send: AET, @network or AET@network; or the one word "any".
        http_port: port on loopback for /healthz and /metrics; 0 takes a free one, None opens none.
        quiet_s: seconds without a new image, and without an open association that sent some, after which a study
            counts as complete.
        accept: "ct" (CT images alone are negotiated) or "all" (every storage class is kept; only CT is enhanced).
        max_instance_mb: largest instance taken, in 10^6 bytes.
        max_associations: senders at the same time.
        min_free_gb: free disk space, in 10^9 bytes, below which nothing more is taken.
        attempts: how often a delivery is tried before it goes to the dead letters.
        study_attempts: how often enhancing a study is tried before it goes there.
        backoff_s: pause after the first failure; it doubles with every other.
        backoff_max_s: longest pause.
        timeout_s: longest silence of a peer, and longest wait for an answer.
        study_hours: longest time that one study may take to enhance.
        memory_limit: memory in MB that one scan may take; 0 for no limit, None for a share of what is free.
        time_limit: minutes that one scan may take; 0 for no limit, None for a time by its size.
        keep_hours: how long images are kept after their study was delivered.
        tls_cert: certificate of this server (PEM); with it, only TLS is spoken.
        tls_key: its key (PEM).
        tls_ca: certificates (PEM) that senders must be signed by, and destinations are checked against.
        enhance: options for `med-stylesr enhance`.
    """

    to: tuple[str, ...] = ()
    aet: str = "MEDSTYLESR"
    host: str = "127.0.0.1"
    port: int = 11112
    peer: tuple[str, ...] = ()
    http_port: int | None = 11180
    quiet_s: float = 30.0
    accept: str = "ct"
    max_instance_mb: float = 512.0
    max_associations: int = 8
    min_free_gb: float = 2.0
    attempts: int = 12
    study_attempts: int = 3
    backoff_s: float = 5.0
    backoff_max_s: float = 1800.0
    timeout_s: float = 60.0
    study_hours: float = 12.0
    memory_limit: int | None = None
    time_limit: float | None = None
    keep_hours: float = 24.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    enhance: tuple[str, ...] = ()

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """Where derived series go."""
        return tuple(parse_destination(text) for text in self.to)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Who may send; empty for everybody."""
        return () if self.peer == (ANYBODY,) else tuple(parse_peer(text) for text in self.peer)

    @property
    def limits(self) -> tuple[str, ...]:
        """What one scan may take, as options of `med-stylesr enhance`."""
        given = (("--memory-limit", self.memory_limit), ("--time-limit", self.time_limit))
        return tuple(part for option, value in given if value is not None for part in (option, str(value)))

    @property
    def max_instance_bytes(self) -> int:
        """Largest instance taken."""
        return int(self.max_instance_mb * 1e6)

    @property
    def min_free_bytes(self) -> int:
        """Free disk space that is left alone."""
        return int(self.min_free_gb * 1e9)


def load_settings(file: Path | None, given: Mapping[str, Any]) -> ServeSettings:
    """Settings of a file (YAML, or TOML by its ending), with those given on the command line over them.

    Raises:
        UsageError: if the file cannot be read, a key is unknown, or a value makes no sense.
    """
    merged = {**(_read(file) if file else {}), **{k: v for k, v in given.items() if v is not None and v != ()}}
    hints = typing.get_type_hints(ServeSettings)
    known = {field.name for field in fields(ServeSettings)}
    for name in merged:
        if name not in known:
            raise UsageError(str(file), f"{name} is no setting of serve", f"known are: {', '.join(sorted(known))}")
    settings = ServeSettings(**{name: _typed(name, hints[name], value) for name, value in merged.items()})
    _check(settings)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        content = file.read_text(encoding="utf-8")
        whole = _toml(content, file) if file.suffix.lower() == ".toml" else yaml.safe_load(content)
    except OSError as error:
        raise UsageError(str(file), f"cannot be read ({error.strerror})", "check --config") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(str(file), f"is not in the form that its ending says ({error})", "correct it") from error
    if not isinstance(whole, dict):
        raise UsageError(str(file), "holds no settings", "write one `name: value` a line")
    return {str(name).replace("-", "_"): value for name, value in whole.items()}


def _toml(content: str, file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(content)
    raise UsageError(str(file), "TOML needs Python 3.11 or newer", "write the same settings as YAML")


def _typed(name: str, hint: Any, value: Any) -> Any:
    """A value in the type of its setting; numbers may be whole, lists may be one value."""
    if value is None and type(None) in typing.get_args(hint):
        return None
    if typing.get_origin(hint) is tuple:
        parts = [value] if isinstance(value, str) else value
        if isinstance(parts, (list, tuple)) and all(isinstance(p, (str, int, float)) for p in parts):
            return tuple(str(part) for part in parts)
    elif hint in (int, int | None) and isinstance(value, int) and not isinstance(value, bool):
        return value
    elif hint in (float, float | None) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint is str and isinstance(value, str):
        return value
    elif hint == (Path | None) and isinstance(value, (str, Path)):
        return Path(value)
    raise UsageError(name, f"cannot be {value!r}", "see docs/reference/serve.md")


def _check(settings: ServeSettings) -> None:
    if not settings.to:
        raise UsageError("--to", "says where derived series go, and is missing", "give dicom://AET@host:port or a URL")
    parsed = settings.destinations
    if len({one.name for one in parsed}) < len(parsed):
        raise UsageError("--to", "names one destination twice", "give each once")
    if not (0 < len(settings.aet.strip()) <= _AE_TITLE_LENGTH and settings.aet.isascii() and "\\" not in settings.aet):
        raise UsageError(f"--aet {settings.aet}", "is no AE title", "use 1 to 16 ASCII characters")
    if settings.accept not in ("ct", "all"):
        raise UsageError(f"--accept {settings.accept}", "is neither ct nor all")
    for name, port in (("--port", settings.port), ("--http-port", settings.http_port or 0)):
        if not 0 <= port <= 65535:
            raise UsageError(f"{name} {port}", "is no port", "use 0 … 65535")
    for name in (
        "backoff_s",
        "backoff_max_s",
        "timeout_s",
        "max_instance_mb",
        "max_associations",
        "attempts",
        "study_attempts",
        "study_hours",
    ):
        if not getattr(settings, name) > 0:
            raise UsageError(f"{name} {getattr(settings, name):g}", "must be more than 0")
    for name in ("quiet_s", "min_free_gb", "keep_hours", "memory_limit", "time_limit"):
        value = getattr(settings, name)
        if value is not None and not value >= 0:
            raise UsageError(f"{name} {value:g}", "must not be negative")
    if ANYBODY in settings.peer and settings.peer != (ANYBODY,):
        raise UsageError("--peer any", "opens the port to everybody", "leave the other peers out, or leave `any` out")
    for text in settings.peer:
        parse_peer(text)
    _check_reach(settings)
    _check_tls(settings)


def _check_reach(settings: ServeSettings) -> None:
    try:
        address = ipaddress.ip_address(settings.host)
    except ValueError:
        if settings.host == "localhost":
            return
        raise UsageError(f"--host {settings.host}", "is no address", "give an IP address of this machine") from None
    if not address.is_loopback and not settings.peer:
        why = "would take images from everybody on the network"
        raise UsageError(f"--host {settings.host}", why, "name the senders with --peer AET@network, or say --peer any")


def _check_tls(settings: ServeSettings) -> None:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("--tls-cert and --tls-key", "belong together", "give both")
    for path in (settings.tls_cert, settings.tls_key, settings.tls_ca):
        if path is not None and not path.is_file():
            raise UsageError(str(path), "is no file", "check the TLS options")


__all__ = ["ANYBODY", "ServeSettings", "load_settings"]
