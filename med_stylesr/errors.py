"""The one kind of error that reaches a user: what went wrong, why, and what to do about it."""

from __future__ import annotations


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


def one_line(text: str, limit: int = 400) -> str:
    """Collapse white space and control characters, so that a hostile header cannot forge log lines."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
