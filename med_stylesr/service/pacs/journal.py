"""Log lines for machines: one JSON object a line, in which nothing tells whose images they are about."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, TextIO

_SECRET_BYTES: Final = 32
_MARK_LENGTH: Final = 16


class Journal:
    """Writes log lines.

    UIDs identify a patient to whoever has the archive, so that only their keyed digests are written: the same UID has
    the same mark in all lines of one server, and nobody without the server's secret can try UIDs against the log.

    Args:
        secret: key of the marks.
        stream: where lines go.
    """

    def __init__(self, secret: bytes, stream: TextIO = sys.stderr) -> None:
        self._secret, self._stream, self._lock = secret, stream, threading.Lock()

    def mark(self, uid: str) -> str:
        """What stands for a UID in the log: 16 hexadecimal digits (HMAC-SHA256, cut)."""
        return hmac.new(self._secret, uid.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_MARK_LENGTH]

    def tell(self, event: str, level: str = "info", **facts: Any) -> None:
        """Write one line.

        Args:
            event: what happened, a fixed word.
            level: "info", "warning" or "error".
            facts: numbers and words of our own; UIDs by `mark` only, and never a value of a header.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "level": level, "event": event, **facts}, ensure_ascii=True)
        with self._lock:
            print(line, file=self._stream, flush=True)


def load_secret(path: Path) -> bytes:
    """The secret of a server's marks; made if there is none, or only the beginning of one."""
    if path.exists() and len(secret := path.read_bytes()) == _SECRET_BYTES:
        return secret
    secret = secrets.token_bytes(_SECRET_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret)
    return secret
