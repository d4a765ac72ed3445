"""File and folder names from values that nobody can trust: patient ids, UIDs, names in archives."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Container
from typing import Final

_UNSAFE: Final = re.compile(r"[^\w.+=@,() -]")
_RESERVED: Final = frozenset(
    ("con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10)))
)
MAX_NAME: Final = 64
"""Longest name made of a header value; a UID has at most 64 characters."""


def safe_component(value: str, fallback: str, limit: int = MAX_NAME) -> str:
    """One path component from any text: no separator, no traversal, no reserved or hidden name, never empty.

    Equal values give equal names. Values that had to be cut keep apart by a digest of the whole.

    Args:
        value: any text, such as a PatientID.
        fallback: name for a value of which nothing remains.
        limit: greatest length in bytes of the name.

    >>> safe_component("../../etc/passwd", "unnamed")
    '_.._etc_passwd'
    """
    plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", value))
    plain = plain.strip(" ").lstrip(".").rstrip(". ")
    if not plain.strip("_. "):
        plain = fallback
    if plain.split(".")[0].strip().lower() in _RESERVED:
        plain = f"_{plain}"
    if len(plain.encode()) > limit:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        head = plain.encode()[: limit - 11].decode(errors="ignore").rstrip(". ")
        plain = f"{head}~{digest}"
    return plain


def unique(name: str, taken: Container[str]) -> str:
    """The name itself, or with -2, -3 … before its ending when it is taken; file systems may ignore case, so this does.

    Args:
        name: a safe component.
        taken: names in use, in lower case.

    >>> unique("a.nii.gz", {"a.nii.gz"})
    'a-2.nii.gz'
    """
    stem, dot, ending = name.partition(".")
    if re.fullmatch(r"[0-9.]+", name):
        stem, dot, ending = name, "", ""
    candidate, n = name, 1
    while candidate.lower() in taken:
        n += 1
        candidate = f"{stem}-{n}{dot}{ending}"
    return candidate
