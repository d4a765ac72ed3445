"""The one kind of error that reaches a user: what went wrong, why, and what to do about it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_TURNS_TEXT: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidirectional classes of characters that let what follows be read in another order than it stands."""


class MedStyleError(Exception):
    """A problem that is told in one line and never as a traceback.

    Args:
        what: the thing concerned: a path, a series, an option.
        why: the reason, in words a user can act on.
        todo: what to do now; may be empty when nothing can be done.
    """

    def __init__(self, what: str, why: str, todo: str = "") -> None:
        self.what, self.why, self.todo = (one_line(text) for text in (what, why, todo))
        super().__init__(what, why, todo)

    def __str__(self) -> str:
        line = f"{self.what}: {self.why}"
        return f"{line}; {self.todo}" if self.todo else line


class UsageError(MedStyleError):
    """Wrong options, or nothing usable in the source (exit status 2)."""


class InputError(MedStyleError):
    """One input (file, series, volume) cannot be used; others may be (exit status 1)."""


def one_line(text: str, limit: int = 400, *, plain: bool = False) -> str:
    """The text with line breaks and control characters, and the ASCII spaces around them, made one space each.

    So a hostile header cannot forge lines of a log. Every other character stays, also spaces of other kinds: they may
    be part of a file's name, which is there to be copied.

    Args:
        text: what is to be told.
        limit: characters; the rest is cut.
        plain: make whatever does not print a space as well, in what quotes headers.
    """
    if plain:
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    marked = "".join("\0" if _breaks(c) else c for c in text)
    line = re.sub(" *\0[ \0]*", " ", marked).strip(" ")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _breaks(character: str) -> bool:
    # Lone surrogates cannot be written at all.
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return True
    return unicodedata.bidirectional(character) in _TURNS_TEXT
