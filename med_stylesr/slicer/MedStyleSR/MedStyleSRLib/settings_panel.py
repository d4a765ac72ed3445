"""The Settings tab: which program does the work, whether it is fit, and its installation for Slicer's own Python."""

import os
import queue
import shutil
import subprocess
import sys
import threading

import ctk
import slicer

from .i18n import _
from .private_install import PACKAGE, Installation, require_possible
from .problems import EngineProblem
from .pump import Pump

CHECK_S = 180
"""Time that `med-stylesr doctor` may take: it loads the bundles."""
POLL_S = 0.004
_PROBLEM = "color: #d0342c"


class SettingsPanel:
    """The controls of the set-up.

    Args:
        ui: the module's widgets by name.
        logic: `MedStyleSRLogic`.
    """

    def __init__(self, ui, logic):
        self.ui, self._preferences = ui, logic.preferences
        self._lines = queue.Queue()
        self._thread = None
        self._installation = None
        self._pump = Pump(self._work)
        ui.programPath.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Dirs
        ui.programPath.currentPath = self._preferences.program
        ui.programPath.connect("currentPathChanged(QString)", self._program_chosen)
        ui.checkButton.connect("clicked(bool)", self._check_clicked)
        ui.installButton.connect("clicked(bool)", self._install_clicked)
        ui.stopInstallButton.connect("clicked(bool)", self.stop)
        ui.uninstallButton.connect("clicked(bool)", self._uninstall_clicked)
        self.refresh()

    @property
    def busy(self):
        """Whether a check or an installation runs."""
        return self._thread is not None and self._thread.is_alive()

    def refresh(self):
        """Enable what can be pressed."""
        there = os.path.isdir(self._preferences.private_folder)
        self.ui.checkButton.enabled = not self.busy
        self.ui.installButton.enabled = not self.busy
        self.ui.uninstallButton.enabled = there and not self.busy
        self.ui.stopInstallButton.enabled = self._installation is not None and self.busy

    def stop(self, _checked=False):
        """Break an installation off."""
        if self._installation is not None:
            self._installation.stop()

    def _program_chosen(self, path):
        self._preferences.program = path.strip()

    def _check_clicked(self, _checked=False):
        find = self._preferences.program_finder()
        self._begin(lambda: check(find, self._lines.put))

    def _install_clicked(self, _checked=False):
        preferences = self._preferences
        try:
            require_possible(preferences.slicer_python, sys.version_info)
        except EngineProblem as problem:
            self._show(str(problem), _PROBLEM)
            return
        question = _(
            "Download {package} and its packages (several hundred MB, with PyTorch) into\n{folder}?\n\n"
            "Slicer's own packages, such as numpy, SimpleITK and pydicom, are not touched."
        ).format(package=PACKAGE, folder=preferences.private_folder)
        if not slicer.util.confirmOkCancelDisplay(question, _("MedStyleSR")):
            return
        folder, python = preferences.private_folder, preferences.slicer_python
        self._installation = Installation(folder, python, dict(os.environ))
        self._begin(lambda: self._installation.run(self._lines.put))

    def _uninstall_clicked(self, _checked=False):
        shutil.rmtree(self._preferences.private_folder, ignore_errors=True)
        self._show(_("Removed."))
        self.refresh()

    def _begin(self, work):
        def guarded():
            try:
                work()
                self._lines.put(_("Everything is fine."))
            except EngineProblem as problem:
                self._lines.put(problem)
            except OSError as error:
                self._lines.put(EngineProblem(_("files"), str(error)))

        self.ui.settingsLog.clear()
        self._show(_("Working …"))
        self._thread = threading.Thread(target=guarded, daemon=True)
        self._thread.start()
        self.refresh()
        self._pump.start()

    def _work(self):
        self._thread.join(POLL_S)
        over = not self.busy
        while not self._lines.empty():
            line = self._lines.get_nowait()
            problem = isinstance(line, EngineProblem)
            self.ui.settingsLog.appendPlainText(str(line))
            self._show(str(line)[:300], _PROBLEM if problem else "")
        if over:
            self._installation = None
            self.refresh()
        return not over

    def _show(self, text, style=""):
        self.ui.settingsStatus.setText(text)
        self.ui.settingsStatus.setStyleSheet(style)


def check(find, tell):
    """Find the program, ask for its version, and let it examine itself.

    Args:
        find: gives the `Program`.
        tell: called with every line.

    Raises:
        EngineProblem: if it cannot do the work.
    """
    program = find()
    tell(_("Program: {path} (from: {origin})").format(path=" ".join(program.arguments), origin=program.origin))
    tell(_("Version: {version}").format(version=program.version()))
    try:
        run = program.answer("doctor", CHECK_S)
    except subprocess.TimeoutExpired:
        raise EngineProblem("med-stylesr doctor", _("does not come to an end"), _("run it in a terminal")) from None
    lines = (run.stdout + run.stderr).splitlines()
    for line in lines:
        tell(line)
    if run.returncode != 0:
        missing = [line for line in lines if line.startswith("MISSING")]
        why = (missing or lines[-1:] or [""])[0]
        raise EngineProblem("med-stylesr doctor", why, _("reinstall med-stylesr"))
