"""The engine installed for Slicer's own Python, in a folder of its own: nothing of Slicer's is touched.

Packages go to the folder by `pip install --target`, with their own numpy, SimpleITK and pydicom. Only the engine's
process sees them, through PYTHONPATH. Deleting the folder undoes it.
"""

import platform
import shutil
from pathlib import Path

from .i18n import _
from .problems import EngineProblem, ProgramProblem, explain
from .process import ProcessGroup
from .program import Program

PACKAGE = "med-stylesr[report]"
OLDEST_PYTHON = (3, 10)
TIMEOUT_S = 15
"""Time after which pip gives up on a server: behind a firewall it would wait for minutes."""
_MARK = "complete.txt"
"""Written last: an installation without it was broken off."""
_GRACE_S = 2.0


def installed(folder, python, environment):
    """The private installation as a `Program`, or None.

    Args:
        folder: where it is or would be.
        python: path of PythonSlicer.
        environment: environment variables of Slicer, which its Python needs.
    """
    folder = Path(folder)
    if not python or not (folder / _MARK).is_file():
        return None
    return Program((str(python), "-m", "med_stylesr"), {**environment, "PYTHONPATH": str(folder)}, _("Slicer's Python"))


def require_possible(python, version, system=None, machine=None):
    """Refuse where the engine's packages cannot run.

    Args:
        python: path of PythonSlicer, or None.
        version: (major, minor) of Slicer's Python.
        system: as `platform.system()`.
        machine: as `platform.machine()`.

    Raises:
        EngineProblem: with the way out.
    """
    out = _("install med-stylesr in another Python (3.10 or newer) and choose it on the Settings tab")
    if not python:
        raise EngineProblem(_("Slicer's Python"), _("PythonSlicer was not found"), out)
    if tuple(version[:2]) < OLDEST_PYTHON:
        have = ".".join(map(str, version[:2]))
        raise EngineProblem(_("Slicer's Python"), _("is {have}, the engine needs 3.10 or newer").format(have=have), out)
    if (system or platform.system()) == "Darwin" and (machine or platform.machine()) == "x86_64":
        raise EngineProblem(_("Slicer's Python"), _("no current torch exists for Macs with an Intel processor"), out)


class Installation:
    """pip at work. Run it on a thread of its own; ask it to stop from another.

    Args:
        folder: target folder; an earlier installation in it is replaced.
        python: path of PythonSlicer.
        environment: environment variables of Slicer.
        package: what pip is to install.
    """

    def __init__(self, folder, python, environment, package=PACKAGE):
        self._folder, self._python, self._package = Path(folder), python, package
        # What the user has set for pip elsewhere must not send packages to Slicer's own folders.
        self._environment = {k: v for k, v in environment.items() if k not in ("PIP_TARGET", "PIP_USER", "PYTHONPATH")}
        self._process = None
        self._stopped = False

    def arguments(self):
        """The command line of pip."""
        options = ["--upgrade", "--target", str(self._folder), "--timeout", str(TIMEOUT_S), "--retries", "1"]
        quiet = ["--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off"]
        return [str(self._python), "-m", "pip", "install", *options, *quiet, self._package]

    def run(self, tell):
        """Install.

        Args:
            tell: called with every line that pip says.

        Raises:
            EngineProblem: if it does not work out; what was there is gone then.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            self._process = ProcessGroup(self.arguments(), self._environment, str(self._folder))
        except OSError as error:
            raise ProgramProblem(str(self._python), _("cannot be started"), str(error)) from None
        for line in self._process.lines():
            tell(line)
        status = self._process.finish()
        if status == 0 and not self._stopped:
            (self._folder / _MARK).write_text(self._package + "\n", encoding="utf-8")
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._stopped:
            raise EngineProblem(_("installation"), _("cancelled; nothing was installed"))
        told = explain(status, "", [line for line in self._process.errors if not line.startswith("WARNING")])
        todo = _("check the network and its proxy, or install med-stylesr in another Python")
        raise EngineProblem(_("installation"), str(told), todo)

    def stop(self):
        """Break it off."""
        self._stopped = True
        if self._process is not None:
            self._process.stop(_GRACE_S)
