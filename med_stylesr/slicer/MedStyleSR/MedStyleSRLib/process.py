"""A program with all its children: started in a group of its own, read line by line, ended without orphans."""

import collections
import os
import signal
import subprocess
import threading
from contextlib import suppress

KEPT_ERRORS = 50
"""Last lines of standard error that are remembered."""


class ProcessGroup:
    """A running program whose standard input stays open until it is to stop.

    Programs that know `--stop-with-stdin` end by themselves when it closes, which also happens when Slicer dies.

    Args:
        arguments: program and arguments.
        environment: environment variables.
        folder: working directory.

    Raises:
        OSError: if the program cannot be started.
    """

    def __init__(self, arguments, environment, folder):
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            **_own_group(),
        )
        self.errors = collections.deque(maxlen=KEPT_ERRORS)
        self._ended = threading.Event()
        self._stderr = threading.Thread(target=self._read_errors, daemon=True)
        self._stderr.start()
        threading.Thread(target=self._reap, daemon=True).start()

    @property
    def pid(self):
        """Process id of the program, which is also the id of its group."""
        return self._process.pid

    def lines(self):
        """Yield the lines of standard output until the program and all its children have closed it."""
        for line in self._process.stdout:
            yield line.decode("utf-8", "replace").rstrip()

    def finish(self):
        """Wait for the end and return the exit status."""
        self._ended.wait()
        self._stderr.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                stream.close()
        return self._process.returncode

    def stop(self, grace_s):
        """Ask the program to stop; end it with all its children if it has not after some time. Returns at once.

        Args:
            grace_s: seconds that it has to clean up.
        """

        def end():
            with suppress(OSError):
                self._process.stdin.close()
            if not self._ended.wait(grace_s):
                self._kill()

        threading.Thread(target=end, daemon=True).start()

    def _read_errors(self):
        for line in self._process.stderr:
            self.errors.append(line.decode("utf-8", "replace").rstrip())

    def _reap(self):
        self._process.wait()
        # Children that outlive the program would keep running, and its pipes open.
        if os.name != "nt":
            self._kill()
        self._ended.set()

    def _kill(self):
        if os.name == "nt":
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(self._process.pid)],
                capture_output=True,
                check=False,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _own_group():
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
