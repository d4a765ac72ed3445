"""A run of the engine on a thread of its own: its start, its cancelling, how it ended. Knows neither Qt nor MRML."""

import json
import threading
from abc import ABC, abstractmethod

from .i18n import _
from .problems import Cancelled, EngineProblem, ProgramProblem
from .process import ProcessGroup

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"


class EngineRun(ABC):
    """A run; subclasses say in `_work` what it consists of. `start` it, then ask it from a timer.

    Args:
        name: of its thread.
        program: called on that thread; gives the `Program`.
        grace_s: seconds that the engine has to stop by itself when it is cancelled.

    Attributes:
        state: RUNNING, DONE, FAILED or CANCELLED.
        problem: `EngineProblem` once failed or cancelled.
    """

    def __init__(self, name, program, grace_s):
        self._name, self._program, self._grace_s = name, program, grace_s
        self._process = None
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.state, self.problem = RUNNING, None

    def start(self):
        """Begin; returns at once."""
        threading.Thread(target=self._run, daemon=True, name=self._name).start()

    def cancel(self):
        """Stop; returns at once. The state changes when everything has ended and is cleaned up."""
        with self._lock:
            self._cancelled.set()
            if self._process is not None:
                self._process.stop(self._grace_s)

    def wait(self, seconds):
        """Wait a while for the end, letting other threads work; tells whether it has come."""
        return self._ended.wait(seconds)

    @abstractmethod
    def _work(self):
        """Do everything; what it raises ends the run."""

    def _explained(self, error):
        """The problem that an unforeseen error is told as."""
        return EngineProblem(_("internal error"), f"{type(error).__name__}: {error}", _("please report it"))

    def _run(self):
        try:
            self._work()
            self.state = DONE
        except Exception as error:
            problem = error if isinstance(error, EngineProblem) else self._explained(error)
            self.problem = Cancelled() if self._cancelled.is_set() else problem
            self.state = CANCELLED if self._cancelled.is_set() else FAILED
        finally:
            self._ended.set()

    def _go_on(self):
        if self._cancelled.is_set():
            raise Cancelled

    def _lines(self, program, arguments, folder):
        """Start the engine and yield what it tells, line by line: the event a line holds, or {}, and the line."""
        with self._lock:
            self._go_on()
            try:
                self._process = ProcessGroup([*program.arguments, *arguments], program.environment, folder)
            except OSError as error:
                raise ProgramProblem(program.arguments[0], _("cannot be started"), str(error)) from None
        for line in self._process.lines():
            yield _event(line), line


def _event(line):
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
