"""The secret key, and what is derived from it: pseudonyms, unique identifiers, date offsets.

Everything is HMAC-SHA256 under the key (RFC 2104, FIPS 198-1) with a label for each purpose, so that nobody without
the key can test a guess, equal inputs give equal outputs in every run, and values of different purposes are unrelated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pathlib
import secrets
import stat
from dataclasses import dataclass, field
from typing import Final

from med_stylesr.errors import UsageError

KEY_BYTES: Final = 32


@dataclass(frozen=True)
class SecretKey:
    """A 256-bit key that never shows in logs or representations."""

    secret: bytes = field(repr=False)

    def digest(self, purpose: str, value: str) -> bytes:
        """32 bytes that depend on the key, the purpose and the value."""
        return hmac.new(self.secret, f"{purpose}\0{value}".encode(), hashlib.sha256).digest()

    def pseudonym(self, purpose: str, value: str, prefix: str, length: int) -> str:
        """Pseudonym of upper-case letters and digits 2-7 (base 32), `length` characters with the prefix.

        Args:
            purpose: separates identifiers of different kinds.
            value: the original identifier.
            prefix: first characters, which say what it is.
            length: total number of characters, at most 16 for accession numbers and study IDs (VR SH).
        """
        body = base64.b32encode(self.digest(purpose, value)).decode("ascii")
        return (prefix + body)[:length]

    def uid(self, original: str) -> str:
        """A unique identifier under 2.25 (PS3.5 B.2), a UUID built from the keyed digest of the original."""
        number = bytearray(self.digest("uid", original)[:16])
        number[6] = (number[6] & 0x0F) | 0x80  # version 8, custom (RFC 9562)
        number[8] = (number[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(number, 'big')}"

    def day_offset(self, patient: str, max_days: int, whole_weeks: bool) -> int:
        """Days, always negative, by which every date of one patient moves.

        Args:
            patient: the original patient identifier.
            max_days: the largest offset; at least 7.
            whole_weeks: keep the day of the week.
        """
        step = 7 if whole_weeks else 1
        number = int.from_bytes(self.digest("dates", patient)[:8], "big")
        return -step * (1 + number % (max_days // step))


def new_key() -> SecretKey:
    """A random key for one run; without a key file nobody can link two runs."""
    return SecretKey(secrets.token_bytes(KEY_BYTES))


def load_or_create_key(path: pathlib.Path | None) -> SecretKey:
    """Read the key file, or write a new one that only its owner can read.

    Args:
        path: key file (64 hexadecimal digits), or None for a key that lives as long as the run.

    Raises:
        UsageError: if the file is readable by others, is no regular file, or does not hold a key.
    """
    if path is None:
        return new_key()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    except OSError as error:
        raise UsageError(str(path), f"the key file cannot be created ({error.strerror})") from error
    key = new_key()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.secret.hex() + "\n")
    return key


def _read_key(path: pathlib.Path) -> SecretKey:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(str(path), "the key file is no regular file")
        if os.name == "posix" and status.st_mode & 0o077:
            raise UsageError(str(path), "the key file can be read by others", f"run: chmod 600 {path}")
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise UsageError(str(path), "the key file cannot be read as 64 hexadecimal digits") from error
    if len(secret) != KEY_BYTES:
        raise UsageError(str(path), f"the key has {len(secret)} bytes, not {KEY_BYTES}")
    return SecretKey(secret)
