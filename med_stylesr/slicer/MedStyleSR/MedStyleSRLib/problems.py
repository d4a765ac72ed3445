"""What can go wrong, in words a user can act on, and how the engine's last words are read."""

import re

from .i18n import _


class EngineProblem(Exception):
    """A problem told in one line.

    Args:
        what: the thing concerned.
        why: the reason.
        todo: what to do now; may be empty.
    """

    def __init__(self, what, why, todo=""):
        super().__init__(what, why, todo)
        self.what, self.why, self.todo = what, why, todo

    def __str__(self):
        line = f"{self.what}: {self.why}" if self.what else self.why
        return f"{line}; {self.todo}" if self.todo else line


class ProgramProblem(EngineProblem):
    """The med-stylesr program is missing, broken or of the wrong version."""


class OutOfMemory(EngineProblem):
    """The engine did not get the memory it needed."""


class DeviceMissing(EngineProblem):
    """The GPU that was asked for is not there."""


class Cancelled(EngineProblem):
    """The user stopped the run."""

    def __init__(self):
        super().__init__("", _("cancelled; the scene is as it was"))


_KILLED = -9
# A shell or a launcher between us and the engine reports signal 9 as 128 + 9.
_KILLED_BELOW = 137
_MEMORY = re.compile(r"not enough memory|out of memory|OutOfMemory|MemoryError|can't allocate|cannot allocate", re.I)
_DEVICE = re.compile(r"CUDA devices?$|CUDA devices?;|no CUDA|not compiled with CUDA|NVIDIA driver", re.I)
_OWN = "med-stylesr: "


def explain(status, reason, errors):
    """The problem behind an engine that gave no result.

    Args:
        status: exit status of the program; negative for a signal.
        reason: `reason` of its `failed` event, or an empty string.
        errors: the last lines of its standard error, oldest first.

    Returns:
        An `EngineProblem`.
    """
    lines = [line for line in errors if line.strip()]
    # What the engine says itself starts with its name; other lines come from Python or a driver on its way out.
    own = [line[len(_OWN) :] for line in lines if line.startswith(_OWN) and not line.startswith(_OWN + "warning:")]
    told = reason or (["", *lines[-1:], *own])[-1]
    everything = "\n".join([told, *lines])
    if "CUDA" in everything and _MEMORY.search(everything):
        return OutOfMemory(_("GPU"), _("its memory is too small for this scan"), _("choose the device cpu"))
    if status in (_KILLED, _KILLED_BELOW) or _MEMORY.search(everything):
        return OutOfMemory(
            _("engine"),
            _("not enough memory"),
            _("close other programs, leave the resolution as it is, or choose a region of interest"),
        )
    if _DEVICE.search(told):
        return DeviceMissing(_("GPU"), told, _("choose the device auto or cpu"))
    if told:
        return EngineProblem("", told)
    if status == 0:
        return EngineProblem(_("engine"), _("ended without a result"), _("see the log"))
    return EngineProblem(
        _("engine"),
        _("crashed (exit status {status}) without a word").format(status=status),
        _("press Check on the Settings tab"),
    )
